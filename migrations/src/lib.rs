//! The tables of the three services: for each a migrator and a table of applied migrations of its own, so that
//! they may live in one database or in three.
//!
//! Every migration runs under a lock and in one transaction: several copies of a service may start at once, and
//! one that dies in between leaves nothing half done. Tables follow expand and contract: a release works with
//! the tables of the one before it, and removes what only that one needed.

pub mod customers;
pub mod inventory;
pub mod orders;

mod apply;

pub use apply::Progress;
