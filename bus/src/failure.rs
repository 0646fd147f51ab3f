//! Why handling a message failed: the one vocabulary of error replies, retries and dead letters.

use serde::{Deserialize, Serialize};

/// Bytes of a message at the most: it travels in a header, and what can't be decoded is quoted in it.
const MESSAGE_MAX_BYTES: usize = 1_024;

/// A failure. The message is for operators and logs; no client of the gateway ever sees it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The kind.
    pub code: FailureCode,
    /// In words.
    pub message: String,
}

impl Failure {
    /// A failure of a kind, in words; long ones are cut short.
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > MESSAGE_MAX_BYTES {
            message.truncate(message.floor_char_boundary(MESSAGE_MAX_BYTES));
            message.push('…');
        }
        Self { code, message }
    }
}

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FailureCode {
    /// The body can't be read, or its data isn't what the pattern takes.
    Undecodable,
    /// Readable, and out of bounds.
    BadRequest,
    /// Nobody handles the pattern.
    NoHandler,
    /// The deadline passed before it was handled.
    DeadlineExceeded,
    /// Too much is waiting already.
    Overloaded,
    /// Something that it takes (a database, another service) is away.
    Unavailable,
    /// A defect of ours.
    Internal,
    /// The broker gave up on it: delivered too often, or too long in a queue.
    Undeliverable,
}

impl FailureCode {
    /// Whether the same message may succeed later.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::DeadlineExceeded | Self::Overloaded | Self::Unavailable)
    }

    /// The name on the wire and in dead letters.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Undecodable => "UNDECODABLE",
            Self::BadRequest => "BAD_REQUEST",
            Self::NoHandler => "NO_HANDLER",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::Overloaded => "OVERLOADED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Internal => "INTERNAL",
            Self::Undeliverable => "UNDELIVERABLE",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let failure = Failure::new(FailureCode::Undecodable, format!("a{}", "é".repeat(2_000_000)));
        assert_eq!(failure.message.len(), MESSAGE_MAX_BYTES - 1 + '…'.len_utf8());
        assert!(failure.message.starts_with("aé") && failure.message.ends_with("é…"));
    }
}
