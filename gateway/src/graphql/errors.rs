//! What a client sees when a field fails: the error of a failed request, with a code, what was done, and whether sending
//! the same again can help, or the errors of an input that the caller can put right. A service's words stay in the log.

use async_graphql::{Enum, OutputType, SimpleObject};
use bus::{failure::FailureCode, rpc_client::RequestError, transport::PublishError};
use futures::{FutureExt as _, future::BoxFuture};
use schema::cursor::InvalidCursor;
use schema::domain_error::{DomainError, DomainErrorCode};

use crate::orders::PlaceOrderError;
use crate::query::{ErrorCode, GraphqlError, Outcome};

/// What a nullable field that can fail returns: null with an error at the field's own path, and everything around it
/// kept. In async-graphql 8.0.0-rc.5 a field that returns `Result<Option<T>>` takes its parents down when it fails,
/// nullable or not, and so does one with a guard.
pub(crate) type Nullable<T> = Option<Result<T, GraphqlError>>;

/// Boxed, since async-graphql allocates for each field, of whatever kind, as much as the largest one of its object takes.
pub(crate) fn nullable<'a, T: OutputType>(
    resolver: impl Future<Output = Result<Option<T>, GraphqlError>> + Send + 'a,
) -> BoxFuture<'a, Nullable<T>> {
    async move { resolver.await.transpose() }.boxed()
}

/// The error of a failed request that only reads.
pub(crate) fn query_error(error: &RequestError) -> GraphqlError {
    let code = code_of(error);
    log(code, error);
    client_error(code).retryable(error.is_retryable())
}

/// The error of a failed request that changes something. OVERLOADED and SERVICE_UNAVAILABLE promise that nothing was
/// done. If that isn't certain, the code is DEADLINE_EXCEEDED, and sending again, a change of its own, is not advised.
pub(crate) fn mutation_error(error: &RequestError) -> GraphqlError {
    // An undecodable answer comes from a service that has done something.
    let undecodable =
        matches!(error, RequestError::Answered(failure) if failure.code == FailureCode::Undecodable);
    let nothing_was_done = error.nothing_was_done() && !undecodable;
    let code = match code_of(error) {
        ErrorCode::ServiceUnavailable if !nothing_was_done => ErrorCode::DeadlineExceeded,
        code => code,
    };
    log(code, error);
    let outcome = if nothing_was_done { Outcome::None } else { Outcome::Unknown };
    client_error(code).outcome(outcome).retryable(nothing_was_done && error.is_retryable())
}

/// The error of an order that was not, or not certainly, accepted. With a key, sending it again is always safe.
pub(crate) fn place_order_error(error: &PlaceOrderError, has_key: bool) -> GraphqlError {
    use PublishError::{Blocked, Disconnected, Nacked, TooLarge, Unknown, Unroutable, WindowFull};
    let (code, outcome) = match error {
        PlaceOrderError::TooLate => (ErrorCode::DeadlineExceeded, Outcome::None),
        PlaceOrderError::DeadLettered(_) => (ErrorCode::InternalServerError, Outcome::Unknown),
        PlaceOrderError::Unsent(error) => match error {
            Unknown(_) => (ErrorCode::DeadlineExceeded, Outcome::Unknown),
            Nacked | WindowFull => (ErrorCode::Overloaded, Outcome::None),
            TooLarge(_) => (ErrorCode::InternalServerError, Outcome::None),
            Disconnected | Blocked(_) | Unroutable => (ErrorCode::ServiceUnavailable, Outcome::None),
        },
    };
    log(code, error);
    let can_help = code != ErrorCode::InternalServerError;
    client_error(code).outcome(outcome).retryable(can_help && (outcome == Outcome::None || has_key))
}

/// The error of a list that its check or its service has refused.
pub(crate) fn list_error(error: &DomainError) -> GraphqlError {
    match error.code {
        DomainErrorCode::CursorInvalid => ErrorCode::CursorInvalid.error(InvalidCursor.to_string()),
        DomainErrorCode::CursorExpired => {
            ErrorCode::CursorExpired.error("the events after this cursor are no longer kept")
        }
        DomainErrorCode::InvalidInput => ErrorCode::BadUserInput.error(error.message.clone()),
        code => {
            tracing::error!(?code, message = error.message, "list refused with an unexpected code");
            ErrorCode::InternalServerError.error("internal error")
        }
    }
}

/// What the caller can put right. Faults that are not theirs are top-level errors with extensions.code.
#[derive(SimpleObject, Debug)]
pub(crate) struct UserError {
    code: UserErrorCode,
    message: String,
    /// The input's path, such as ["input", "items", "0", "quantity"].
    field: Option<Vec<String>>,
}

#[derive(Enum, Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum UserErrorCode {
    InvalidInput,
    DuplicateProduct,
    OrderNotFound,
    InvalidTransition,
    VersionConflict,
    IdempotencyKeyReused,
}

impl UserError {
    /// Fails on codes that are not a mutation's.
    fn new(error: DomainError) -> Result<Self, GraphqlError> {
        // The field is the one that the error is about if its service named none.
        let (code, field) = match error.code {
            DomainErrorCode::InvalidInput => (UserErrorCode::InvalidInput, None),
            DomainErrorCode::DuplicateProduct => (UserErrorCode::DuplicateProduct, None),
            DomainErrorCode::InvalidTransition => (UserErrorCode::InvalidTransition, None),
            DomainErrorCode::OrderNotFound => (UserErrorCode::OrderNotFound, Some("id")),
            DomainErrorCode::VersionConflict => (UserErrorCode::VersionConflict, Some("expectedVersion")),
            DomainErrorCode::IdempotencyKeyReused => {
                (UserErrorCode::IdempotencyKeyReused, Some("idempotencyKey"))
            }
            DomainErrorCode::CursorInvalid
            | DomainErrorCode::CursorExpired
            | DomainErrorCode::StockTooLow
            | DomainErrorCode::ProductNotFound => {
                tracing::error!(?error, "mutation refused with an unexpected code");
                return Err(ErrorCode::InternalServerError.error("internal error"));
            }
        };
        let field = error.field.or_else(|| Some(vec!["input".to_owned(), field?.to_owned()]));
        Ok(Self { code, message: error.message, field })
    }
}

pub(crate) fn user_errors(errors: Vec<DomainError>) -> Result<Vec<UserError>, GraphqlError> {
    errors.into_iter().map(UserError::new).collect()
}

fn code_of(error: &RequestError) -> ErrorCode {
    match error {
        RequestError::Unavailable { .. } => ErrorCode::ServiceUnavailable,
        RequestError::Overloaded { .. } => ErrorCode::Overloaded,
        RequestError::DeadlineExceeded { .. } => ErrorCode::DeadlineExceeded,
        RequestError::Answered(failure) => match failure.code {
            FailureCode::Unavailable => ErrorCode::ServiceUnavailable,
            FailureCode::Overloaded => ErrorCode::Overloaded,
            FailureCode::DeadlineExceeded => ErrorCode::DeadlineExceeded,
            FailureCode::Undecodable
            | FailureCode::BadRequest
            | FailureCode::NoHandler
            | FailureCode::Internal
            | FailureCode::AnswerTooLong
            | FailureCode::Undeliverable => ErrorCode::InternalServerError,
        },
    }
}

fn client_error(code: ErrorCode) -> GraphqlError {
    code.error(match code {
        ErrorCode::ServiceUnavailable => "a service that this field needs is unavailable",
        ErrorCode::Overloaded => "too many requests are waiting",
        ErrorCode::DeadlineExceeded => "no service answered in time",
        _ => "internal error",
    })
}

fn log(code: ErrorCode, error: &(dyn std::error::Error + 'static)) {
    if code == ErrorCode::InternalServerError {
        tracing::error!(error, "request to a service failed");
    } else {
        tracing::warn!(error, code = code.as_str(), "request to a service was not answered");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_graphql::Error;
    use bus::failure::Failure;
    use serde_json::{Value, json};

    fn extensions(error: GraphqlError) -> Value {
        serde_json::to_value(Error::from(error).extensions).unwrap()
    }

    fn unavailable() -> RequestError {
        RequestError::Unavailable { pattern: "order.update".into(), reason: "away".into() }
    }

    fn timed_out() -> RequestError {
        RequestError::DeadlineExceeded { pattern: "order.update".into() }
    }

    fn answered(code: FailureCode) -> RequestError {
        RequestError::Answered(Failure::new(code, "secret words"))
    }

    #[test]
    fn a_failed_mutation_says_what_was_done() {
        let none = |code: &str| json!({"code": code, "outcome": "NONE", "retryable": true});
        let unknown = |code: &str| json!({"code": code, "outcome": "UNKNOWN"});
        for (error, expected) in [
            (unavailable(), none("SERVICE_UNAVAILABLE")),
            (timed_out(), unknown("DEADLINE_EXCEEDED")),
            (answered(FailureCode::Overloaded), none("OVERLOADED")),
            (answered(FailureCode::DeadlineExceeded), none("DEADLINE_EXCEEDED")),
            (answered(FailureCode::Unavailable), unknown("DEADLINE_EXCEEDED")),
            (answered(FailureCode::Internal), unknown("INTERNAL_SERVER_ERROR")),
            (answered(FailureCode::Undecodable), unknown("INTERNAL_SERVER_ERROR")),
            (answered(FailureCode::NoHandler), json!({"code": "INTERNAL_SERVER_ERROR", "outcome": "NONE"})),
        ] {
            assert_eq!(extensions(mutation_error(&error)), expected, "{error:?}");
        }
    }

    #[test]
    fn a_failed_query_is_retryable_if_its_failure_can_pass() {
        for (error, code, retryable) in [
            (unavailable(), "SERVICE_UNAVAILABLE", true),
            (timed_out(), "DEADLINE_EXCEEDED", true),
            (answered(FailureCode::Unavailable), "SERVICE_UNAVAILABLE", true),
            (answered(FailureCode::Internal), "INTERNAL_SERVER_ERROR", false),
        ] {
            let extensions = extensions(query_error(&error));
            assert_eq!(extensions["code"], code, "{error:?}");
            assert_eq!(extensions.get("retryable").is_some(), retryable, "{error:?}");
        }
    }

    #[test]
    fn an_order_that_may_have_been_accepted_is_sent_again_only_under_a_key() {
        let unknown = || PublishError::Unknown("connection lost".into());
        let unavailable = json!({"code": "SERVICE_UNAVAILABLE", "outcome": "NONE", "retryable": true});
        for (error, has_key, expected) in [
            (unknown(), true, json!({"code": "DEADLINE_EXCEEDED", "outcome": "UNKNOWN", "retryable": true})),
            (unknown(), false, json!({"code": "DEADLINE_EXCEEDED", "outcome": "UNKNOWN"})),
            (PublishError::Disconnected, false, unavailable.clone()),
            (PublishError::Blocked("memory".into()), false, unavailable.clone()),
            (PublishError::Unroutable, false, unavailable),
        ] {
            assert_eq!(extensions(place_order_error(&PlaceOrderError::Unsent(error), has_key)), expected);
        }
    }
}
