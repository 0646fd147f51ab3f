//! What the services share of databases, on both of them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod connecting;
mod kit;
mod leases;
mod transactions;
