//! What the services share of databases: connecting, transactions, errors that say what to do, and the outbox.
//!
//! One code path serves PostgreSQL and SQLite. Where they differ, the difference is named here: SQLite has one
//! writer, whose transactions begin with the write lock, so row locks have nothing to add there.
//!
//! - [`database`]: connecting; reading, writing and the time.
//! - [`error`]: whether to hold, retry or give up, and [`retrying`].
//! - [`lease`]: one copy at a time does this.
//! - [`outbox`] and [`relay`]: events that leave after the commit that they tell of, in one order without holes.
//! - [`failpoint`]: places where a test may stop the world.

#![warn(missing_docs)]

pub mod database;
pub mod error;

mod refusal;

pub mod lease;
pub mod outbox;
pub mod relay;

pub mod failpoint;

pub use database::{Database, advisory_lock, for_update};
pub use error::{StoreError, retrying};
