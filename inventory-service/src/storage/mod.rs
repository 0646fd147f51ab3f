//! A [`Book`](crate::stock::Book) in the database: opened under locks, decided on, saved, in one transaction.

mod open;
mod rows;
mod save;
pub(crate) mod tables;
mod transaction;

pub(crate) use open::Scope;
pub(crate) use rows::{product, state};
pub(crate) use transaction::transact;
