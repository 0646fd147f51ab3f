//! Who the customers are, and where their orders go.

pub mod config;
pub mod customers;
pub mod service;
mod tables;

pub use config::Config;
pub use customers::Customers;
pub use service::start;
