//! Pages of a list, forwards or backwards, by keyset cursors.

use serde::{Deserialize, Serialize};

use crate::cursor::InvalidCursor;
use crate::domain_error::{DomainError, DomainErrorCode};
use crate::limits::{PAGE_DEFAULT, PAGE_MAX};

/// Which page to list: `first` entries after a cursor, or `last` entries before one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// So many from the front. Not together with `last`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u32>,
    /// Only what comes behind this cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// So many from the back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<u32>,
    /// Only what comes before this cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
}

/// The end of the (bounded) list that a page is taken from, and how many entries it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slice {
    First(u32),
    Last(u32),
}

impl Page {
    /// Which end and how many: the first 20 if nothing is said. The error says what is wrong.
    fn slice(&self) -> Result<Slice, String> {
        let slice = match (self.first, self.last) {
            (Some(_), Some(_)) => return Err("give first or last, not both".to_owned()),
            (None, Some(last)) => Slice::Last(last),
            (first, None) => Slice::First(first.unwrap_or(PAGE_DEFAULT)),
        };
        let (Slice::First(size) | Slice::Last(size)) = slice;
        let fits = (1..=PAGE_MAX).contains(&size);
        fits.then_some(slice).ok_or_else(|| format!("first and last must be 1 to {PAGE_MAX}"))
    }

    /// Reads the page's cursors and size. `decode` answers none for a cursor that is not one of this list's. Fails with
    /// CURSOR_INVALID or INVALID_INPUT.
    pub fn bounds<C>(&self, decode: impl Fn(&str) -> Option<C>) -> Result<PageBounds<C>, DomainError> {
        let cursor = |text: &Option<String>, field| {
            let Some(text) = text else { return Ok(None) };
            let invalid =
                || DomainError::at(DomainErrorCode::CursorInvalid, InvalidCursor.to_string(), [field]);
            decode(text).ok_or_else(invalid).map(Some)
        };
        let (after, before) = (cursor(&self.after, "after")?, cursor(&self.before, "before")?);
        let invalid = |error| DomainError::new(DomainErrorCode::InvalidInput, error);
        Ok(PageBounds { slice: self.slice().map_err(invalid)?, after, before })
    }
}

/// What to read for a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageBounds<C> {
    slice: Slice,
    /// Only entries behind this one.
    pub after: Option<C>,
    /// Only entries before this one.
    pub before: Option<C>,
}

impl<C> PageBounds<C> {
    /// Whether to read from the front of the list.
    pub fn reads_forwards(&self) -> bool {
        matches!(self.slice, Slice::First(_))
    }

    /// How many rows to read: one more than the page has says that there is more.
    pub fn limit(&self) -> u64 {
        let (Slice::First(size) | Slice::Last(size)) = self.slice;
        u64::from(size) + 1
    }

    /// The page that `rows` make, which were read from the front or the back, up to [`Self::limit`].
    pub fn cut<T>(&self, mut rows: Vec<T>) -> CutPage<T> {
        let (Slice::First(size) | Slice::Last(size)) = self.slice;
        let more = rows.len() > size as usize;
        rows.truncate(size as usize);
        let (has_next_page, has_previous_page) = match self.slice {
            Slice::First(_) => (more, self.after.is_some()),
            Slice::Last(_) => {
                rows.reverse();
                (self.before.is_some(), more)
            }
        };
        CutPage { rows, has_next_page, has_previous_page }
    }
}

/// A page's entries in the list's own order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CutPage<T> {
    /// The entries.
    pub rows: Vec<T>,
    /// Whether entries follow.
    pub has_next_page: bool,
    /// Whether entries precede. Reading forwards, this says that a cursor was given: what lies
    /// before it is not read for this (Relay allows that).
    pub has_previous_page: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_one_end_and_1_to_100_entries() {
        let page = |first, last| Page { first, last, ..Page::default() }.slice();
        assert_eq!(page(None, None), Ok(Slice::First(20)));
        assert_eq!(page(Some(100), None), Ok(Slice::First(100)));
        assert_eq!(page(None, Some(1)), Ok(Slice::Last(1)));
        assert_eq!(page(Some(1), Some(1)), Err("give first or last, not both".to_owned()));
        for (first, last) in [(Some(0), None), (None, Some(101))] {
            assert_eq!(page(first, last), Err("first and last must be 1 to 100".to_owned()));
        }
    }

    #[test]
    fn one_row_too_many_says_that_there_is_more() {
        let front = PageBounds { slice: Slice::First(2), after: None::<()>, before: None };
        let front = front.cut(vec![1, 2, 3]);
        assert_eq!((front.rows, front.has_next_page, front.has_previous_page), (vec![1, 2], true, false));
        let back = PageBounds { slice: Slice::Last(2), after: None, before: Some(()) };
        let back = back.cut(vec![3, 2, 1]);
        assert_eq!((back.rows, back.has_next_page, back.has_previous_page), (vec![2, 3], true, true));
    }
}
