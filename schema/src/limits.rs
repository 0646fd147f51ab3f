//! The bounds of requests, for every process that checks them.

use std::time::Duration;

use crate::domain_error::{DomainError, DomainErrorCode};

/// Characters of a product's or customer's id.
pub const ID_MAX_CHARS: usize = 64;
/// Line items of one order.
pub const ORDER_MAX_ITEMS: usize = 100;
/// Units of one line item.
pub const QUANTITY_MAX: u32 = 10_000;
/// Characters of a shipping address.
pub const SHIPPING_ADDRESS_MAX_CHARS: usize = 500;
/// Characters of an idempotency key.
pub const IDEMPOTENCY_KEY_MAX_CHARS: usize = 255;
/// Characters of a tracking company or number.
pub const TRACKING_MAX_CHARS: usize = 100;
/// Characters of a product's name.
pub const PRODUCT_NAME_MAX_CHARS: usize = 200;
/// Characters of a product's description.
pub const PRODUCT_DESCRIPTION_MAX_CHARS: usize = 2_000;
/// Minor units of a product's price: with these, an order of [`ORDER_MAX_ITEMS`] lines of [`QUANTITY_MAX`] units has a total
/// that [`crate::money::Money`] can hold.
pub const PRICE_MAX_MINOR: i64 = 1_000_000_000_000;
/// Characters of a catalogue search.
pub const SEARCH_MAX_CHARS: usize = 100;
/// Entries of one page.
pub const PAGE_MAX: u32 = 100;
/// Entries of a page if neither `first` nor `last` says how many.
pub const PAGE_DEFAULT: u32 = 20;
/// Items of one list-taking request (ids to read, orders to reserve for).
pub const REQUEST_MAX_ITEMS: usize = 500;
/// Pages of one `inventory.list`.
pub const PRODUCT_LISTS_MAX: usize = 10;
/// Replays of one `order.replay`: each may answer as much as a message holds.
pub const REPLAYS_MAX: usize = 3;
/// Pages of one `order.audit` or `inventory.audit`.
pub const AUDIT_PAGES_MAX: usize = 3;
/// Events in one answer to `order.replay`.
pub const REPLAY_MAX: u32 = 500;
/// Entries of one order's history that are answered; an order has a handful in practice.
pub const HISTORY_MAX: u64 = 1_000;

/// How far ahead of order-service's clock an order may say that it was placed: clocks differ.
pub const PLACED_AHEAD_MAX: Duration = Duration::from_secs(2);
/// How long ago an order may say that it was placed: commands wait while order-service is away, and as dead letters.
pub const PLACED_AGO_MAX: Duration = Duration::from_hours(30 * 24);

/// Whether the text holds a character that no name, address or key has a use for. NUL in particular is refused before
/// PostgreSQL, which cannot store it, fails.
pub fn has_control_character(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// Returns what is wrong with a text that should have 1 to `max_chars` characters, if anything. `multiline` allows line breaks, which a postal address has; other control characters are never allowed.
pub fn validate_text(text: &str, max_chars: usize, multiline: bool) -> Option<String> {
    let forbidden = |c: char| c.is_control() && !(multiline && matches!(c, '\n' | '\r' | '\t'));
    if text.trim().is_empty() {
        Some("must not be empty".to_owned())
    } else if text.chars().take(max_chars + 1).count() > max_chars {
        Some(format!("must have at most {max_chars} characters"))
    } else if text.chars().any(forbidden) {
        Some("must not contain control characters".to_owned())
    } else {
        None
    }
}

/// The error of the first text out of bounds: each with its most characters, whether it may have line breaks, and its field.
pub(crate) fn first_text_error<'a>(
    texts: impl IntoIterator<Item = (&'a str, usize, bool, &'static str)>,
) -> Option<DomainError> {
    texts.into_iter().find_map(|(text, max_chars, multiline, name)| {
        let message = validate_text(text, max_chars, multiline)?;
        Some(DomainError::at(DomainErrorCode::InvalidInput, format!("{name} {message}"), [name]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_bounded_in_characters_not_bytes() {
        assert_eq!(validate_text(&"é".repeat(500), 500, true), None);
        assert!(validate_text(&"é".repeat(501), 500, true).is_some());
    }

    #[test]
    fn only_an_address_may_have_line_breaks() {
        assert_eq!(validate_text("1 Harbour Street\nPortland", 500, true), None);
        assert!(validate_text("PT\n1", 100, false).is_some());
        assert!(validate_text("a\u{0}b", 500, true).is_some());
        assert!(validate_text("  ", 500, true).is_some());
    }
}
