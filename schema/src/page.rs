//! Pages of a list, forwards or backwards, by keyset cursors.

use serde::{Deserialize, Serialize};

use crate::limits::{PAGE_DEFAULT, PAGE_MAX};

/// Which page is asked for: `first` entries after a cursor, or `last` entries before one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
pub enum Slice {
    /// So many from the front.
    First(u32),
    /// So many from the back.
    Last(u32),
}

/// Why a page can't be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPage {
    /// Both ends were asked for.
    #[error("give first or last, not both")]
    BothEnds,
    /// None or too many entries were asked for.
    #[error("first and last must be 1 to {PAGE_MAX}")]
    Size,
}

impl Page {
    /// Which end and how many: the first 20 where nothing is said.
    pub fn slice(&self) -> Result<Slice, InvalidPage> {
        let slice = match (self.first, self.last) {
            (Some(_), Some(_)) => return Err(InvalidPage::BothEnds),
            (None, Some(last)) => Slice::Last(last),
            (first, None) => Slice::First(first.unwrap_or(PAGE_DEFAULT)),
        };
        let (Slice::First(size) | Slice::Last(size)) = slice;
        if (1..=PAGE_MAX).contains(&size) { Ok(slice) } else { Err(InvalidPage::Size) }
    }
}

/// The entries of a page as rows were read for it: in reading order (from the front for `First`,
/// from the back for `Last`), one more than asked for where there are more.
///
/// `bounded` says whether the reading began at a cursor, so that something lies behind it.
pub fn cut<T>(slice: Slice, mut rows: Vec<T>, bounded: bool) -> CutPage<T> {
    let (Slice::First(size) | Slice::Last(size)) = slice;
    let more = rows.len() > size as usize;
    rows.truncate(size as usize);
    let (has_next_page, has_previous_page) = match slice {
        Slice::First(_) => (more, bounded),
        Slice::Last(_) => {
            rows.reverse();
            (bounded, more)
        }
    };
    CutPage { rows, has_next_page, has_previous_page }
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
        assert_eq!(page(Some(1), Some(1)), Err(InvalidPage::BothEnds));
        assert_eq!(page(Some(0), None), Err(InvalidPage::Size));
        assert_eq!(page(None, Some(101)), Err(InvalidPage::Size));
    }

    #[test]
    fn one_row_too_many_says_that_there_is_more() {
        let front = cut(Slice::First(2), vec![1, 2, 3], false);
        assert_eq!((front.rows, front.has_next_page, front.has_previous_page), (vec![1, 2], true, false));
        let back = cut(Slice::Last(2), vec![3, 2, 1], true);
        assert_eq!((back.rows, back.has_next_page, back.has_previous_page), (vec![2, 3], true, true));
    }
}
