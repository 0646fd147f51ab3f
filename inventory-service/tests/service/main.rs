//! inventory-service over real databases: each test runs on SQLite and on PostgreSQL, and the kit delivers every
//! message twice.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod kit;

mod catalogue;
mod configuration;
mod crowd;
mod events;
mod expired_holds;
mod missed_events;
mod plans;
mod reserve;
mod running;
