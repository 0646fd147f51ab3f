//! The embedded broker through its public interface.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod broker;
mod conformance;
mod durability;
mod full_disk;
mod kill;
mod kit;
mod manual;
