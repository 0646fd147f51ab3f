//! Relay's pages: the arguments of a connection, its cost and its `pageInfo`.

use async_graphql::SimpleObject;
use schema::limits::{PAGE_DEFAULT, PAGE_MAX};
use schema::page::Page;

#[derive(SimpleObject, Clone)]
pub(crate) struct PageInfo {
    pub(crate) has_next_page: bool,
    pub(crate) has_previous_page: bool,
    pub(crate) start_cursor: Option<String>,
    pub(crate) end_cursor: Option<String>,
}

/// A connection's arguments as a message. A negative size becomes 0, which is out of bounds as well.
pub(crate) fn page(
    first: Option<i32>,
    after: Option<String>,
    last: Option<i32>,
    before: Option<String>,
) -> Page {
    let size = |size: Option<i32>| size.map(|size| u32::try_from(size).unwrap_or(0));
    Page { first: size(first), after, last: size(last), before }
}

/// What a connection costs: its fields once for each entry that it may have.
pub(crate) fn page_cost(first: Option<i32>, last: Option<i32>, one_entry: usize) -> usize {
    let entries = first.or(last).and_then(|size| u32::try_from(size).ok()).unwrap_or(PAGE_DEFAULT);
    (entries.min(PAGE_MAX) as usize).saturating_mul(one_entry.max(1))
}
