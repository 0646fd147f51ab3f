//! Who the customers are, and where their orders go.
//!
//! [`customers`] is the service as plain functions over its database; [`requests`] brings the messages to it, and
//! [`service`] runs it, in a process of its own ([`process`]) or in another's.

#![warn(missing_docs)]

pub mod customers;
mod row;

pub mod demo;
pub mod requests;

pub mod config;
pub mod process;
pub mod service;

pub use config::Config;
pub use customers::Customers;
pub use service::Service;
