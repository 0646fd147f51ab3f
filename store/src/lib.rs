//! Database access shared by the services: connections, transactions, error classes, leases and the transactional outbox.
//!
//! One code path serves PostgreSQL and SQLite. SQLite has one writer, whose transactions begin with the write lock, so
//! row locks add nothing there.
//!
//! - [`database`]: connections, transactions, locks and the database's clock.
//! - [`entity`]: what the services' tables share as sea-orm entities.
//! - [`error`]: error classes (unavailable, contention, constraint, data), and [`retrying`].
//! - [`lease`]: lets one copy of a service at a time do a job.
//! - [`outbox`] and [`relay`]: number committed events and publish them in order.
//! - [`failpoint`]: places between two effects where a test may stop a process.

pub mod database;
pub mod entity;
pub mod error;

pub mod lease;
pub mod outbox;
pub mod relay;

pub mod failpoint;

pub use database::{Database, advisory_lock, for_update};
pub use error::{StoreError, retrying};
