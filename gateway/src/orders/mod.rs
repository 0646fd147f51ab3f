//! What the gateway does with orders, whatever the API in front: whose are in reach, asking the services,
//! placing an order.

mod backend;
mod placing;

pub(crate) use backend::{Backend, Patience};
pub use placing::SendCommand;
pub(crate) use placing::{Placing, PlacingError, Progress};
