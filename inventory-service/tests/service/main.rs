//! inventory-service over real databases: each test runs on SQLite and on PostgreSQL, and the kit delivers every
//! message twice.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod catalogue;
mod configuration;
mod crowd;
mod events;
mod plans;
mod reserving;
mod running;
mod settling;
mod warehouse;
