//! The transport over RabbitMQ, against real servers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod blocked;
mod conformance;
mod dam;
mod deaths;
mod declaring;
mod doubt;
mod foreign;
mod oversized;
mod reconnecting;
mod refused;
mod returns;
mod silence;
mod stand;
mod waiting;
