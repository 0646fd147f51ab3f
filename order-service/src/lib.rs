//! Orders: taking, changing and telling of them.
//!
//! Reading order: [`domain`] decides; `orders` reads and saves; [`place_order`], [`pending`] and [`requests`] are the
//! handlers between the two; `events` reads what [`store::relay`] publishes. [`context`] is what they stand on;
//! [`service`] runs all of it, in a process of its own ([`process`]) or in another's.

#![warn(missing_docs)]

pub mod domain;

mod orders;
mod tables;

mod backends;
mod events;

pub mod context;
pub mod idempotency_cleanup;
pub mod pending;
pub mod place_order;
pub mod queue_metrics;
pub mod requests;

pub mod config;
pub mod process;
pub mod service;

#[cfg(debug_assertions)]
mod fault_injection;

pub use config::Config;
pub use context::{Context, Timeouts};
pub use service::Service;
