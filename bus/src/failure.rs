//! Why handling a message failed: the codes of failure replies, retries and dead letters.

use serde::{Deserialize, Serialize};

/// The longest message in bytes: it is sent in a header, and may quote data that can't be decoded.
const MESSAGE_MAX_BYTES: usize = 1_024;

/// A failure. Its message is for operators and logs, and is never sent to a client of the gateway.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// The code.
    pub code: FailureCode,
    /// A text.
    pub message: String,
}

impl Failure {
    /// A failure with a message, which is cut if it is too long.
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > MESSAGE_MAX_BYTES {
            message.truncate(message.floor_char_boundary(MESSAGE_MAX_BYTES));
            message.push('…');
        }
        Self { code, message }
    }

    pub(crate) fn undecodable(error: impl ToString) -> Self {
        Self::new(FailureCode::Undecodable, error.to_string())
    }
}

/// The codes of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum FailureCode {
    /// The body can't be read, or its data does not match the pattern.
    Undecodable,
    /// The data is readable and violates a bound.
    BadRequest,
    /// The pattern has no handler.
    NoHandler,
    /// The deadline passed before handling was begun.
    DeadlineExceeded,
    /// The answer would be longer than a message may be. Ask for less at once.
    AnswerTooLong,
    /// Too many requests wait already.
    Overloaded,
    /// A database or another service is unavailable.
    Unavailable,
    /// A defect of Waybill.
    Internal,
    /// The broker dead-lettered the message: delivered too often, or too long in a queue.
    Undeliverable,
}

impl FailureCode {
    /// Whether the same message may succeed later.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::DeadlineExceeded | Self::Overloaded | Self::Unavailable)
    }

    /// Returns the name on the wire and in dead letters.
    pub fn as_str(self) -> &'static str {
        self.into()
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
