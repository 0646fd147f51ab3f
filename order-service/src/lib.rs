//! order-service: creates and changes orders, and publishes an event of every change.
//!
//! [`domain`] decides, without IO; `orders` reads and saves. [`place_order`], [`pending`] and [`requests`] handle the
//! command, the retries and the requests; `checks` calls the other services for them. [`store::relay`] publishes the
//! events. [`service`] runs all of it.

pub mod domain;

mod orders;
mod tables;

pub mod checks;

pub mod context;
pub mod pending;
pub mod place_order;
pub mod queue_metrics;
pub mod requests;

pub mod config;
pub mod service;

#[cfg(feature = "fault-injection")]
mod fault_injection;

pub use config::Config;
pub use context::{Context, Timeouts};
pub use service::start;
