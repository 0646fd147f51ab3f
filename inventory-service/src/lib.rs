//! Products, what is on the shelf, and what each order holds of it.
//!
//! - [`stock`] decides, without IO: reserving, following orders, adjusting.
//! - `storage` opens what is decided on under locks and saves it, in one transaction.
//! - [`inventory`] is the service as plain functions over its database; [`catalogue`] and [`audit`] read.
//! - [`requests`], [`order_events`] and [`expired_holds`] bring the messages and the time to it.
//! - [`service`] runs all of it, in a process of its own ([`process`]) or in another's.

#![warn(missing_docs)]

pub mod stock;
mod storage;

pub mod audit;
pub mod catalogue;
pub mod demo;
pub mod inventory;

pub mod expired_holds;
pub mod order_events;
pub mod requests;

pub mod config;
pub mod process;
pub mod service;

pub use config::Config;
pub use inventory::Inventory;
pub use service::Service;
