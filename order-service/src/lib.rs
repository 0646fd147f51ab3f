//! Orders: taking, changing and telling of them.
//!
//! Reading order: [`domain`] decides; `orders` reads and saves; [`placing`], [`pending`] and [`requests`] are the
//! handlers between the two; `events` reads what [`store::relay`] publishes. [`context`] is what they stand on;
//! [`service`] runs all of it, in a process of its own ([`process`]) or in another's.

#![warn(missing_docs)]

pub mod domain;

mod entity;
mod orders;

mod backends;
mod events;

pub mod backlog;
pub mod context;
pub mod forgetting;
pub mod pending;
pub mod placing;
pub mod requests;

pub mod config;
pub mod process;
pub mod service;

#[cfg(debug_assertions)]
mod sabotage;

pub use config::Config;
pub use context::{Bounds, Context};
pub use service::Service;
