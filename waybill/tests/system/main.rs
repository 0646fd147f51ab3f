//! The whole system through GraphQL alone, once on `waybill up` and once on four processes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod kit;

mod everyday;
mod privacy;
mod refusals;
mod rush;
mod updates;
mod warehouse;

mod copies;
mod databases;
mod interruptions;
mod survival;

mod bad_input;
mod bad_requests;
mod bad_tokens;

mod commands;
mod connections;
mod demo_orders;
mod least_privilege;
mod silence;
mod starting;

mod browser;
mod clients;
mod console;
mod playground;

mod containers;
