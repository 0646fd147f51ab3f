//! The pieces of the kit together, as a process uses them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod admin;
mod arguments;
mod exit_codes;
mod metrics;
mod readiness;
mod shutdown;
mod tracing_ids;
