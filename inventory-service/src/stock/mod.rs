//! How much stock there is and who holds it: decisions over rows that are loaded, and locked, already.
//!
//! A [`Book`] is opened on the products and reservations that some messages concern. Its methods decide and change
//! it, one movement in the ledger for every change of stock; whoever opened it saves what changed. Nothing here does IO.

mod adjusting;
mod book;
mod following;
mod reserving;
mod rows;
#[cfg(test)]
mod tests;

pub use book::{Book, HoldTime};
pub use following::{Followed, Heard, Wanted};
pub use rows::{Cause, Line, Movement, MovementKind, Reservation, Row, StockedProduct};
