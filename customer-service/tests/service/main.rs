//! customer-service over real databases: each test runs on SQLite and on PostgreSQL, and every message is delivered
//! twice.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod configuration;
mod fixture;
mod requests;
mod running;
