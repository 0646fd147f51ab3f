//! Where the environment is read, and nowhere else.
//!
//! Each process has one clap-derived struct of plain strings (a flag and a variable of the same name each), made of the
//! groups here and fields of its own. [`ConfigErrors`] turns the strings into typed values and reports everything that is
//! wrong at once; a process that gets [`ConfigErrors`] exits with code 2 before it binds a port.

mod args;
mod arguments;
mod errors;
#[cfg(debug_assertions)]
pub(crate) mod fault_injection;
mod process;
mod secret;
mod variables;

pub use args::{
    AdminArgs, AdminConfig, BusArgs, BusConfig, DatabaseArgs, DrainArgs, LogArgs, LogConfig, LogFormat,
    SeedArgs,
};
pub use arguments::{parse, with_defaults};
pub use errors::{ConfigError, ConfigErrors};
pub use process::{ProcessArgs, ProcessConfig};
pub use secret::Secret;
pub use variables::{VARIABLES, variables_of};
