//! The store on SQLite and on PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod connecting;
mod kit;
mod leases;
mod sessions;
mod transactions;
mod writes;
