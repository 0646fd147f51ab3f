//! What the operator does to a shop: bring stock in, put products and customers in.

mod customers;
pub(crate) mod import;
mod products;
pub(crate) mod stock;
mod table;
