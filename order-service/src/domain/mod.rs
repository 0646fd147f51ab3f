//! What may happen to an order, decided without doing it.

pub mod changing;
pub mod placing;
pub mod transition;

pub use changing::{Changed, Decision};
pub use placing::{Finding, Stock};
pub use transition::{Transition, transition};
