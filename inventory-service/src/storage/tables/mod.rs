//! The rows as the database has them.

pub(crate) mod product;
pub(crate) mod reservation;
pub(crate) mod reservation_line;
pub(crate) mod stock_movement;
