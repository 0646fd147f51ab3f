//! Messages as transports carry them: a body, properties and headers.

use bytes::Bytes;
use schema::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The longest body in bytes: longer messages are neither published nor handled.
pub const BODY_MAX_BYTES: usize = 4 * 1_024 * 1_024;

/// The longest response in bytes: what [`BODY_MAX_BYTES`] leaves beside its envelope.
pub const ANSWER_MAX_BYTES: usize = BODY_MAX_BYTES - 1_024;

/// The names of the headers that Waybill reads and writes.
pub mod header {
    /// Wall-clock deadline of a request in unix milliseconds.
    pub const DEADLINE: &str = "x-deadline";
    /// How often handling the message has failed.
    pub const ATTEMPT: &str = "x-attempt";
    /// Why a message was dead-lettered: a [`FailureCode`](crate::failure::FailureCode).
    pub const FAILURE_CODE: &str = "x-failure-code";
    /// Why a message was dead-lettered: a text.
    pub const FAILURE_MESSAGE: &str = "x-failure-message";
    /// The queue that a dead letter, or a message that waits for its retry, came from.
    pub const ORIGIN_QUEUE: &str = "x-origin-queue";
    /// When a message was dead-lettered, RFC 3339.
    pub const FAILED_AT: &str = "x-failed-at";
    /// W3C trace context.
    pub const TRACEPARENT: &str = "traceparent";
    /// W3C trace context, vendor-specific data.
    pub const TRACESTATE: &str = "tracestate";
}

/// A header's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, derive_more::From)]
#[serde(untagged)]
pub enum HeaderValue {
    /// A whole number.
    #[from]
    Int(i64),
    /// A text.
    #[from(String, &str)]
    Text(String),
}

/// Headers by name.
pub type Headers = BTreeMap<String, HeaderValue>;

/// A message.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Message {
    /// UTF-8 JSON, see [`crate::envelope`].
    pub body: Bytes,
    /// Its identity, kept through retries, dead letters and replays.
    pub message_id: Option<String>,
    /// Matches a reply to its request.
    pub correlation_id: Option<String>,
    /// The queue to send the reply to.
    pub reply_to: Option<String>,
    /// Its pattern, for commands and events.
    pub kind: Option<String>,
    /// When it was created.
    pub timestamp: Option<Timestamp>,
    /// How long it may wait in a queue before it expires.
    pub expiration: Option<Duration>,
    /// Whether it survives a restart of the broker, in a durable queue.
    pub persistent: bool,
    /// Its headers.
    pub headers: Headers,
}

impl Message {
    /// Returns a header's number, even if another client sent it as text.
    pub fn header_int(&self, name: &str) -> Option<i64> {
        match self.headers.get(name)? {
            HeaderValue::Int(number) => Some(*number),
            HeaderValue::Text(text) => text.parse().ok(),
        }
    }

    /// Returns a header's text.
    pub fn header_text(&self, name: &str) -> Option<&str> {
        match self.headers.get(name)? {
            HeaderValue::Text(text) => Some(text),
            HeaderValue::Int(_) => None,
        }
    }

    /// Sets a header.
    pub fn set_header(&mut self, name: &str, value: HeaderValue) {
        self.headers.insert(name.to_owned(), value);
    }

    /// Returns how often handling the message has failed so far.
    pub fn failed_attempts(&self) -> u32 {
        self.header_int(header::ATTEMPT).and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
    }
}
