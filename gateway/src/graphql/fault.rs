//! Faults on the way to a service, as errors that a client may see: a code, what was done, and whether sending the same
//! again can help. The words of a service stay in the log.

use bus::failure::FailureCode;
use bus::rpc_client::RequestError;
use bus::transport::PublishError;

use crate::orders::PlacingError;
use crate::query::{ErrorCode, GraphqlError, Outcome};

/// A request that only reads has failed.
pub(crate) fn read_fault(error: &RequestError) -> GraphqlError {
    let code = code_of(error);
    log(code, error);
    shown(code).retryable(error.is_retryable())
}

/// A request that changes something has failed.
///
/// OVERLOADED and SERVICE_UNAVAILABLE promise that nothing was done. Where that isn't certain, the answer is
/// DEADLINE_EXCEEDED, and sending again, which is a change of its own, is not advised.
pub(crate) fn change_fault(error: &RequestError) -> GraphqlError {
    // An answer that can't be read comes from a service that has done something.
    let nothing_was_done = error.nothing_was_done() && !is_undecodable(error);
    let code = match code_of(error) {
        ErrorCode::ServiceUnavailable if !nothing_was_done => ErrorCode::DeadlineExceeded,
        code => code,
    };
    log(code, error);
    if nothing_was_done {
        shown(code).outcome(Outcome::None).retryable(error.is_retryable())
    } else {
        shown(code).outcome(Outcome::Unknown).retryable(false)
    }
}

/// An order was not, or not certainly, accepted. With a key, sending it again is always safe.
pub(crate) fn placing_fault(error: &PlacingError, has_key: bool) -> GraphqlError {
    let (code, outcome) = match error {
        PlacingError::Unsent(PublishError::Unknown(_)) => (ErrorCode::DeadlineExceeded, Outcome::Unknown),
        PlacingError::Unsent(PublishError::Nacked | PublishError::WindowFull) => {
            (ErrorCode::Overloaded, Outcome::None)
        }
        PlacingError::Unsent(PublishError::TooLarge(_)) => (ErrorCode::InternalServerError, Outcome::None),
        PlacingError::Unsent(
            PublishError::Disconnected | PublishError::Blocked(_) | PublishError::Unroutable,
        ) => (ErrorCode::ServiceUnavailable, Outcome::None),
        PlacingError::TooLate => (ErrorCode::DeadlineExceeded, Outcome::None),
        PlacingError::GivenUp(_) => (ErrorCode::InternalServerError, Outcome::Unknown),
    };
    log(code, error);
    let can_help = code != ErrorCode::InternalServerError;
    shown(code).outcome(outcome).retryable(can_help && (outcome == Outcome::None || has_key))
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
            | FailureCode::Undeliverable => ErrorCode::InternalServerError,
        },
    }
}

fn is_undecodable(error: &RequestError) -> bool {
    matches!(error, RequestError::Answered(failure) if failure.code == FailureCode::Undecodable)
}

fn shown(code: ErrorCode) -> GraphqlError {
    code.error(match code {
        ErrorCode::ServiceUnavailable => "a service that this needs can't be reached",
        ErrorCode::Overloaded => "too much is waiting to be done already",
        ErrorCode::DeadlineExceeded => "no answer came in time",
        _ => "internal error",
    })
}

fn log(code: ErrorCode, error: &(dyn std::error::Error + 'static)) {
    if code == ErrorCode::InternalServerError {
        tracing::error!(error, "a service failed");
    } else {
        tracing::warn!(error, code = code.as_str(), "a service did not answer");
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
    fn a_failed_change_says_what_was_done() {
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
            assert_eq!(extensions(change_fault(&error)), expected, "{error:?}");
        }
    }

    #[test]
    fn a_failed_read_is_worth_repeating_where_the_fault_can_pass() {
        for (error, code, retryable) in [
            (unavailable(), "SERVICE_UNAVAILABLE", true),
            (timed_out(), "DEADLINE_EXCEEDED", true),
            (answered(FailureCode::Unavailable), "SERVICE_UNAVAILABLE", true),
            (answered(FailureCode::Internal), "INTERNAL_SERVER_ERROR", false),
        ] {
            let extensions = extensions(read_fault(&error));
            assert_eq!(extensions["code"], code, "{error:?}");
            assert_eq!(extensions.get("retryable").is_some(), retryable, "{error:?}");
        }
    }

    #[test]
    fn an_order_that_may_have_been_accepted_is_sent_again_only_under_a_key() {
        let lost = PlacingError::Unsent(PublishError::Unknown("connection lost".into()));
        for (has_key, expected) in [
            (true, json!({"code": "DEADLINE_EXCEEDED", "outcome": "UNKNOWN", "retryable": true})),
            (false, json!({"code": "DEADLINE_EXCEEDED", "outcome": "UNKNOWN"})),
        ] {
            assert_eq!(extensions(placing_fault(&lost, has_key)), expected);
        }
        for error in
            [PublishError::Disconnected, PublishError::Blocked("memory".into()), PublishError::Unroutable]
        {
            assert_eq!(
                extensions(placing_fault(&PlacingError::Unsent(error), false)),
                json!({"code": "SERVICE_UNAVAILABLE", "outcome": "NONE", "retryable": true})
            );
        }
    }
}
