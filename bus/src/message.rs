//! A message as a transport carries it: a body, and beside it what the transport itself needs to know.

use bytes::Bytes;
use schema::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// The longest body that a message of ours has, in bytes: no work is longer, and none that is gets worked on.
pub const BODY_MAX_BYTES: usize = 4 * 1_024 * 1_024;

/// The names of headers that Waybill reads and writes.
pub mod header {
    /// Wall-clock deadline of a request in unix milliseconds.
    pub const DEADLINE: &str = "x-deadline";
    /// How often durable work has been tried and failed.
    pub const ATTEMPT: &str = "x-attempt";
    /// Why a message was dead-lettered: a code.
    pub const FAILURE_CODE: &str = "x-failure-code";
    /// Why a message was dead-lettered: in words.
    pub const FAILURE_MESSAGE: &str = "x-failure-message";
    /// The queue a dead letter, or a message waiting for its retry, came from.
    pub const ORIGIN_QUEUE: &str = "x-origin-queue";
    /// When a message was dead-lettered, RFC 3339.
    pub const FAILED_AT: &str = "x-failed-at";
    /// W3C trace context.
    pub const TRACEPARENT: &str = "traceparent";
    /// W3C trace context, the vendors' part.
    pub const TRACESTATE: &str = "tracestate";
}

/// A header's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HeaderValue {
    /// A whole number.
    Int(i64),
    /// A text.
    Text(String),
}

/// Headers by name.
pub type Headers = BTreeMap<String, HeaderValue>;

/// A message, whichever way it travels.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Message {
    /// UTF-8 JSON, see [`crate::envelope`].
    pub body: Bytes,
    /// Who it is; kept through retries, dead letters and replays.
    pub message_id: Option<String>,
    /// Which request it answers, or is answered by.
    pub correlation_id: Option<String>,
    /// The queue that waits for the answer.
    pub reply_to: Option<String>,
    /// Its pattern, for commands and events.
    pub kind: Option<String>,
    /// When it was made.
    pub timestamp: Option<Timestamp>,
    /// Not to be delivered any more after so long in a queue.
    pub expiration: Option<Duration>,
    /// Survives a restart of the broker, in a durable queue.
    pub persistent: bool,
    /// Everything else.
    pub headers: Headers,
}

impl Message {
    /// A header's number, also where another client sent it as text.
    pub fn header_int(&self, name: &str) -> Option<i64> {
        match self.headers.get(name)? {
            HeaderValue::Int(number) => Some(*number),
            HeaderValue::Text(text) => text.parse().ok(),
        }
    }

    /// A header's text.
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

    /// How often this work has been tried and has failed so far.
    pub fn failed_attempts(&self) -> u32 {
        self.header_int(header::ATTEMPT).and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
    }
}

impl From<&str> for HeaderValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for HeaderValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for HeaderValue {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}
