//! What may happen to an order, decided without doing it.

pub mod change;
pub mod place;
pub mod transition;

pub use change::{Changed, Decision};
pub use place::{Finding, Stock};
pub use transition::{Transition, transition};
