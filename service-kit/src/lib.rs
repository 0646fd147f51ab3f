//! What every process stands on, whatever it does: configuration, logs and traces, metrics, health, the
//! broker, shutdown.
//!
//! A process is `run(name, main)`: `main` reads its arguments ([`config`]), starts [`telemetry`], [`metrics`] and the
//! [`admin`] server, does its work as tracked tasks of the [`Shutdown`] it was given, and ends with
//! [`Shutdown::supervise`].

pub mod admin;
pub mod broker;
pub mod config;
pub mod health;
pub mod metrics;
pub mod process;
pub mod shutdown;
pub mod telemetry;

pub use health::{Liveness, Readiness};
pub use process::run;
pub use shutdown::{Ending, Shutdown};
