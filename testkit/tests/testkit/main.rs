//! The kit's own tests, and the rules of the workspace's architecture.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod architecture;
mod belongings;
mod eventually;
mod fault_injection;
mod imports;
mod owners;
mod postgres;
mod processes;
mod rabbitmq;
mod shared;
mod words;
