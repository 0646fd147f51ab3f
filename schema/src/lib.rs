//! What Waybill's processes say to one another: ids, money, time, orders and every message on the wire.
//!
//! This crate does no IO. `messages/` beside it holds a golden sample of each message type, and
//! `schema.graphql` the public API as the gateway generates it.
//!
//! Reading order: [`ids`], [`money`], [`time`], then [`order`], [`product`] and [`customer`], the
//! [`pattern`]s messages go by, and the messages themselves.

#![warn(missing_docs)]

pub mod ids;
pub mod money;
pub mod time;

pub mod customer;
pub mod order;
pub mod product;

pub mod clock;
pub mod cursor;
pub mod limits;

pub mod domain_error;
pub mod page;
pub mod pattern;

pub mod inventory_messages;
pub mod order_events;
pub mod order_messages;
