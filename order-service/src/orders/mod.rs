//! Orders in the database: reading them, and storing each change together with its event.

mod events;
mod idempotency;
mod insert;
mod page;
mod query;
mod update;

pub(crate) use events::{EVENTS, NewEvent, OrderEvents, event_from_row, history, traceparents};
pub(crate) use idempotency::{OrderExists, store_response, stored_response};
pub(crate) use insert::{NewOrder, insert};
pub(crate) use page::page_rows;
pub(crate) use query::{OrderRow, find, lock, parse, readable, with_lines};
pub(crate) use update::{update, update_all};
