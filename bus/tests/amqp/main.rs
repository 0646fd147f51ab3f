//! The transport over RabbitMQ, against real servers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod conformance;
mod dam;
mod returns;
mod stand;
