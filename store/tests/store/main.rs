//! The store on SQLite, on PostgreSQL and behind PgBouncer.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod connecting;
mod failover;
mod kit;
mod leases;
mod pooler;
mod sessions;
mod tls;
mod transactions;
mod writes;
