//! What every process is built on: configuration, logs and traces, metrics, health, the broker, shutdown.
//!
//! A process that hosts one service is [`run`]: it starts [`telemetry`], [`metrics`] and the [`admin`] server, connects to
//! the broker, and gives the service a [`ServiceContext`]. The service works in tracked tasks of the context's
//! [`Shutdown`], which supervises its end.

pub mod runtime;

pub mod config;
pub mod telemetry;

pub mod admin;
pub mod health;
pub mod http_server;
pub mod metrics;

pub mod broker;
pub mod context;
pub mod shutdown;

#[cfg(feature = "fault-injection")]
pub mod fault_injection;

/// The allocator of every program: each `main.rs` makes it the global one.
pub use mimalloc::MiMalloc as Allocator;

pub use context::ServiceContext;
pub use health::{Liveness, Readiness};
pub use runtime::{run, run_process};
pub use shutdown::{ExitStatus, Shutdown};
