//! Database access shared by the services: connections, transactions, error classes, leases and the transactional outbox.
//!
//! One code path serves PostgreSQL and SQLite. SQLite has one writer, whose transactions begin with the write lock, so
//! row locks add nothing there.
//!
//! - [`database`]: connecting, locks and the database's clock.
//! - [`session`]: connections and transactions. [`health`]: what their outcomes say about the database.
//! - `postgres`, `url` and `pool`: which PostgreSQL servers are used, and how.
//! - [`bulk`]: statements about many rows.
//! - [`entity`]: what the services' tables share as sea-orm entities.
//! - [`error`]: error classes (unavailable, contention, constraint, data), and [`retrying`].
//! - [`sqlite_file`]: the names of files in SQLite's errors.
//! - [`lease`]: lets one copy of a service at a time do a job.
//! - [`outbox`] and [`relay`]: number committed events and publish them in order.
//! - [`failpoint`]: places between two effects where a test may stop a process.

pub mod bulk;
pub mod database;
pub mod entity;
pub mod error;
pub mod health;
mod pool;
mod postgres;
pub mod session;
pub mod sqlite_file;
mod url;

pub mod lease;
pub mod outbox;
pub mod relay;

pub mod failpoint;

pub use crate::url::{InvalidUrl, check_url};
pub use database::{Database, advisory_lock, for_update};
pub use error::{StoreError, retrying};
pub use health::WriteFailure;
pub use session::{Connection, Transaction};
