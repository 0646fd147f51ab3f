//! Server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

use rand::RngExt;

use super::{Part, Refused, json};

/// Within what time a browser connects again, in milliseconds: differing, so that not all of a gateway's clients come at
/// once.
const RECONNECT_MS: std::ops::Range<u32> = 500..2_500;

/// Sent at once, so that clients know that they are connected.
pub(super) fn opening() -> String {
    format!("retry: {}\n:\n\n", rand::rng().random_range(RECONNECT_MS))
}

pub(super) fn write(part: &Part<'_>) -> String {
    match part {
        // A comment.
        Part::Heartbeat => ":\n\n".to_owned(),
        Part::Next { cursor: Some(cursor), result } => {
            format!("id: {cursor}\nevent: next\ndata: {}\n\n", json(result))
        }
        Part::Next { cursor: None, result } => format!("event: next\ndata: {}\n\n", json(result)),
        Part::Refused(errors) => format!("event: next\ndata: {}\n\n", json(&Refused { errors })),
        // Without data an EventSource would not see the event.
        Part::Complete => "event: complete\ndata:\n\n".to_owned(),
        // An EventSource connects again when its response just ends.
        Part::Interrupted(_) => String::new(),
    }
}
