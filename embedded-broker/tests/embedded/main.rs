//! The broker as its users see it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod broker;
mod conformance;
mod durability;
mod kill;
mod manual;
mod stand;
