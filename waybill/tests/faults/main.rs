//! Real processes are killed, stopped and cut off under load; then every promise is checked from outside.
//!
//! `cargo nextest run -p waybill --test faults` tries each fault at least once. `make faults` tries them at the scale
//! that RELIABILITY.md reports, one after the other (`WAYBILL_FAULTS=full`).
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../tables/mod.rs"]
mod tables;

mod checker;
mod cluster;
mod load;
mod scale;

mod broker;
mod checked;
mod clients;
mod database;
mod disk;
mod embedded;
mod failpoints;
mod kills;
mod network;
mod orders_at_once;
mod poison;
mod repeats;
mod rolling;
mod sabotage;
mod stalls;
mod topology;
