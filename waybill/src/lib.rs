//! The command `waybill`: the whole system in one process, and the commands of its operator.
//!
//! It is a library so that [`audit::check`] judges its tests as well.

mod cli;
mod output;

mod data_dir;
mod demo_orders;
mod infrastructure;
mod services;
mod up;

mod admin;
pub mod audit;
mod dead_letters;
mod doctor;
mod import;
mod stock;
mod topology;

mod health;
mod token;

pub use cli::run;
