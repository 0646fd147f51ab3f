//! Decisions about orders, without IO.

pub mod change;
pub mod place;
pub mod transition;

pub use change::{Changed, Decision};
pub use place::{CheckedFacts, Stock};
pub use transition::{Transition, transition};
