//! Relay's pages: the arguments of a connection, checked, and its `pageInfo`.

use async_graphql::SimpleObject;
use schema::cursor::InvalidCursor;
use schema::domain_error::{DomainError, DomainErrorCode};
use schema::limits::{PAGE_DEFAULT, PAGE_MAX};
use schema::page::Page;

use crate::query::{ErrorCode, GraphqlError};

#[derive(SimpleObject, Clone)]
pub(crate) struct PageInfo {
    pub(crate) has_next_page: bool,
    pub(crate) has_previous_page: bool,
    pub(crate) start_cursor: Option<String>,
    pub(crate) end_cursor: Option<String>,
}

/// A page as it is asked for. Unlike the message's [`Page`] it can be the key of a loader.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PageKey {
    first: Option<u32>,
    after: Option<String>,
    last: Option<u32>,
    before: Option<String>,
}

impl PageKey {
    /// Checks a connection's arguments; `check_cursor` says whether a cursor belongs to the list.
    pub(crate) fn new(
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
        check_cursor: impl Fn(&str) -> Result<(), InvalidCursor>,
    ) -> Result<Self, GraphqlError> {
        // A negative size becomes 0, which is out of bounds as well.
        let size = |size: Option<i32>| size.map(|size| u32::try_from(size).unwrap_or(0));
        let (first, last) = (size(first), size(last));
        for cursor in after.iter().chain(&before) {
            check_cursor(cursor).map_err(|error| ErrorCode::CursorInvalid.error(error.to_string()))?;
        }
        let key = Self { first, after, last, before };
        Page::from(key.clone()).slice().map_err(|error| ErrorCode::BadUserInput.error(error.to_string()))?;
        Ok(key)
    }
}

impl From<PageKey> for Page {
    fn from(key: PageKey) -> Self {
        Self { first: key.first, after: key.after, last: key.last, before: key.before }
    }
}

/// What a service's refusal of a list means to a client.
pub(crate) fn refused_list(refusal: &DomainError) -> GraphqlError {
    match refusal.code {
        DomainErrorCode::CursorInvalid => ErrorCode::CursorInvalid.error(InvalidCursor.to_string()),
        DomainErrorCode::CursorExpired => {
            ErrorCode::CursorExpired.error("what the cursor names is no longer kept")
        }
        DomainErrorCode::InvalidInput => ErrorCode::BadUserInput.error(refusal.message.clone()),
        code => {
            tracing::error!(
                ?code,
                message = refusal.message,
                "a list was refused for no reason that lists have"
            );
            ErrorCode::InternalServerError.error("internal error")
        }
    }
}

/// What a connection costs: its fields once for each entry that it may have.
pub(crate) fn page_cost(first: Option<i32>, last: Option<i32>, one_entry: usize) -> usize {
    let entries = first.or(last).and_then(|size| u32::try_from(size).ok()).unwrap_or(PAGE_DEFAULT);
    (entries.min(PAGE_MAX) as usize).saturating_mul(one_entry.max(1))
}
