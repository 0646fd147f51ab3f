//! What every process stands on, whatever it does: configuration, logs and traces, metrics, health, the
//! broker, shutdown.
//!
//! A process is `run(name, main)`: `main` reads its arguments ([`config`]) and [`serve()`]s, which starts [`telemetry`],
//! [`metrics`] and the [`admin`] server, connects to the broker, and gives the service a [`ServiceContext`]. The service does its work
//! as tracked tasks of the host's [`Shutdown`], which supervises its end.

pub mod admin;
pub mod broker;
pub mod config;
pub mod context;
#[cfg(debug_assertions)]
pub mod fault_injection;
pub mod health;
pub mod metrics;
pub mod runtime;
mod serve;
pub mod shutdown;
pub mod telemetry;

pub use context::ServiceContext;
pub use health::{Liveness, Readiness};
pub use runtime::run;
pub use serve::serve;
pub use shutdown::{ExitStatus, Shutdown};
