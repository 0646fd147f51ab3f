//! The codes that top-level errors carry in `extensions.code`, and how to make such errors.

use std::time::Duration;

use async_graphql::{ErrorExtensionValues, ServerError, Value};

/// What went wrong, for a program to decide by. Clients rely on the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// Needs a token and has none, or the token is bad.
    Unauthenticated,
    /// The token doesn't allow this.
    Forbidden,
    /// The request or an argument is malformed.
    BadUserInput,
    /// The cursor is not one of ours, or not the viewer's.
    CursorInvalid,
    /// The cursor names what is no longer kept.
    CursorExpired,
    /// The request is larger than is read.
    PayloadTooLarge,
    /// The document exceeds a limit of depth, size or complexity.
    QueryTooComplex,
    /// This caller asks too much at once.
    RateLimited,
    /// The gateway is at a bound of its own. Nothing was done.
    Overloaded,
    /// A backend can't be reached. Nothing was done.
    ServiceUnavailable,
    /// No answer in time. For a mutation that means unknown.
    DeadlineExceeded,
    /// A fault of ours; the message says nothing, the trace id finds it.
    InternalServerError,
    /// The document is not GraphQL.
    GraphqlParseFailed,
    /// The document doesn't fit the schema, or a variable doesn't fit its type.
    GraphqlValidationFailed,
    /// The request doesn't say which of the document's operations it means.
    OperationResolutionFailure,
}

impl ErrorCode {
    /// Every code there is.
    pub const ALL: [Self; 15] = [
        Self::Unauthenticated,
        Self::Forbidden,
        Self::BadUserInput,
        Self::CursorInvalid,
        Self::CursorExpired,
        Self::PayloadTooLarge,
        Self::QueryTooComplex,
        Self::RateLimited,
        Self::Overloaded,
        Self::ServiceUnavailable,
        Self::DeadlineExceeded,
        Self::InternalServerError,
        Self::GraphqlParseFailed,
        Self::GraphqlValidationFailed,
        Self::OperationResolutionFailure,
    ];

    /// The code as clients see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::Forbidden => "FORBIDDEN",
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::CursorInvalid => "CURSOR_INVALID",
            Self::CursorExpired => "CURSOR_EXPIRED",
            Self::PayloadTooLarge => "PAYLOAD_TOO_LARGE",
            Self::QueryTooComplex => "QUERY_TOO_COMPLEX",
            Self::RateLimited => "RATE_LIMITED",
            Self::Overloaded => "OVERLOADED",
            Self::ServiceUnavailable => "SERVICE_UNAVAILABLE",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::InternalServerError => "INTERNAL_SERVER_ERROR",
            Self::GraphqlParseFailed => "GRAPHQL_PARSE_FAILED",
            Self::GraphqlValidationFailed => "GRAPHQL_VALIDATION_FAILED",
            Self::OperationResolutionFailure => "OPERATION_RESOLUTION_FAILURE",
        }
    }

    /// The code that an error carries, if it carries one of ours.
    pub fn of(error: &ServerError) -> Option<Self> {
        match error.extensions.as_ref()?.get("code")? {
            Value::String(code) => Self::ALL.into_iter().find(|known| known.as_str() == code),
            _ => None,
        }
    }

    /// Starts an error with this code. The message is shown to clients.
    ///
    /// Codes that promise that nothing was done are retryable from the start; for DEADLINE_EXCEEDED
    /// the caller has to say.
    pub fn error(self, message: impl Into<String>) -> GraphqlError {
        let nothing_done = matches!(self, Self::RateLimited | Self::Overloaded | Self::ServiceUnavailable);
        GraphqlError {
            code: self,
            message: message.into(),
            retryable: nothing_done,
            retry_after: None,
            outcome: nothing_done.then_some(Outcome::None),
        }
    }
}

/// What a failed operation has left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was done.
    None,
    /// It may have been done or not.
    Unknown,
}

/// An error that may be shown to a client. Converts into [`async_graphql::Error`], so a resolver can
/// return it with `?`.
#[derive(Clone, Debug)]
pub struct GraphqlError {
    code: ErrorCode,
    message: String,
    retryable: bool,
    retry_after: Option<Duration>,
    outcome: Option<Outcome>,
}

impl GraphqlError {
    /// The error's code.
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// Says whether sending the same again can help.
    #[must_use]
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }

    /// Says when to send the same again; makes the error retryable.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retryable = true;
        self.retry_after = Some(wait);
        self
    }

    /// Says what the failed operation has left behind.
    #[must_use]
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = Some(outcome);
        self
    }

    fn extensions(&self) -> ErrorExtensionValues {
        let mut extensions = ErrorExtensionValues::default();
        extensions.set("code", self.code.as_str());
        if self.retryable {
            extensions.set("retryable", true);
        }
        if let Some(wait) = self.retry_after {
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            extensions.set("retryAfterMs", wait_ms);
        }
        if let Some(outcome) = self.outcome {
            extensions.set(
                "outcome",
                match outcome {
                    Outcome::None => "NONE",
                    Outcome::Unknown => "UNKNOWN",
                },
            );
        }
        extensions
    }
}

impl From<GraphqlError> for async_graphql::Error {
    fn from(error: GraphqlError) -> Self {
        Self { extensions: Some(error.extensions()), ..Self::new(error.message) }
    }
}

impl From<GraphqlError> for ServerError {
    fn from(error: GraphqlError) -> Self {
        Self { extensions: Some(error.extensions()), ..Self::new(error.message, None) }
    }
}
