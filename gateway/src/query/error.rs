//! Errors with a code: what top-level errors carry in `extensions`, and how to make such errors.

use std::time::Duration;

use async_graphql::{Enum, ErrorExtensionValues, Pos, ServerError, Value, resolver_utils::EnumType};

/// What went wrong, for a client's program to decide by. The names are part of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum ErrorCode {
    /// The field needs a token and the request has none, or the token is not valid.
    Unauthenticated,
    /// The token lacks a scope.
    Forbidden,
    /// The request or an argument is malformed.
    BadUserInput,
    /// The cursor is malformed, or another viewer's.
    CursorInvalid,
    /// The cursor names a position that is no longer kept.
    CursorExpired,
    /// The request or the result is larger than its limit.
    PayloadTooLarge,
    /// The document exceeds a limit of depth, size or complexity.
    QueryTooComplex,
    /// The client has too many operations under way, or sends them too fast. Nothing was done.
    RateLimited,
    /// The gateway is at one of its own bounds. Nothing was done.
    Overloaded,
    /// A service can't be reached. Nothing was done.
    ServiceUnavailable,
    /// There was no answer in time. A mutation may have been done or not.
    DeadlineExceeded,
    /// The gateway failed. The message says nothing; the trace id finds the log.
    InternalServerError,
    GraphqlParseFailed,
    /// The document doesn't fit the schema, or a variable doesn't fit its type.
    GraphqlValidationFailed,
    /// The request doesn't say which of the document's operations it means.
    OperationResolutionFailure,
    /// The request names a document by its hash alone: the client has to send the document.
    PersistedQueryNotSupported,
    /// The request names a document that the gateway doesn't have: the client has to send it.
    PersistedQueryNotFound,
    /// The document is another one than that of the hash that the client registers it by.
    PersistedQueryHashMismatch,
    /// Only trusted documents are executed, and this is none of them.
    QueryNotInSafelist,
}

impl ErrorCode {
    pub fn as_str(self) -> &'static str {
        let item = Self::items().iter().find(|item| item.value == self);
        item.expect("items are all codes").name
    }

    /// Returns the code that an error carries, if it carries one of these.
    pub fn of(error: &ServerError) -> Option<Self> {
        match error.extensions.as_ref()?.get("code")? {
            Value::String(code) => Self::items().iter().find(|item| item.name == code).map(|item| item.value),
            _ => None,
        }
    }

    /// Returns an error with this code, retryable from the start if the code promises that nothing was done. The message
    /// is shown to clients.
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

    /// Returns an error with this code about a place in the document.
    pub(super) fn error_at(self, pos: Pos, message: impl Into<String>) -> ServerError {
        ServerError { locations: vec![pos], ..self.error(message).into() }
    }
}

/// Whether sending the same request again can help.
pub(crate) fn is_retryable(error: &ServerError) -> bool {
    let retryable = error.extensions.as_ref().and_then(|extensions| extensions.get("retryable"));
    retryable == Some(&Value::Boolean(true))
}

/// When a client that was refused for load should send its request again.
pub(crate) const OVERLOAD_RETRY_AFTER: Duration = Duration::from_secs(1);

/// Returns the error of a request that is refused for load.
pub(crate) fn overloaded(message: &'static str) -> GraphqlError {
    ErrorCode::Overloaded.error(message).retry_after(OVERLOAD_RETRY_AFTER)
}

/// What a failed operation may have changed: the `outcome` of an error's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub enum Outcome {
    /// Nothing was done.
    None,
    /// It may have been done or not.
    Unknown,
}

/// An error that may be shown to a client.
#[derive(Clone, Debug)]
#[must_use]
pub struct GraphqlError {
    code: ErrorCode,
    message: String,
    retryable: bool,
    retry_after: Option<Duration>,
    outcome: Option<Outcome>,
}

impl GraphqlError {
    pub fn code(&self) -> ErrorCode {
        self.code
    }

    /// Sets whether sending the same request again can help.
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }

    /// Sets when to send the same request again, and makes the error retryable.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retryable = true;
        self.retry_after = Some(wait);
        self
    }

    /// When to send the same request again, if that is known.
    pub(crate) fn retry_wait(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Sets what the failed operation may have changed.
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
            extensions.set("outcome", outcome);
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
