//! inventory-service: products, their stock, and what each order holds of it.
//!
//! - [`stock`] decides, without IO: reserving, reconciling with order states, adjusting.
//! - `unit_of_work` loads and locks the rows of a decision and saves it, in one transaction.
//! - [`inventory`] has one function for each kind of message; [`catalogue`] and [`audit`] read.
//! - `handlers` takes requests and order events from the bus; [`expired_holds`] and [`missed_events`] run by the clock.
//! - [`service`] runs all of it.

mod save_postgres;
mod save_rows;
pub mod stock;
mod tables;
mod unit_of_work;

pub mod audit;
pub mod catalogue;
pub mod demo;
pub mod inventory;

pub mod expired_holds;
mod handlers;
pub mod missed_events;

pub mod config;
pub mod service;

#[cfg(feature = "fault-injection")]
mod fault_injection;

pub use config::Config;
pub use inventory::Inventory;
pub use service::start;
