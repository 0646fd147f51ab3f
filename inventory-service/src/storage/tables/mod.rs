//! The rows as the database has them.

pub mod product;
pub mod reservation;
pub mod reservation_line;
pub mod stock_movement;
