//! Requests that never become an operation, and the response to each.

use axum::{
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};

use super::response::{ResponseFormat, respond_with};
use crate::auth::AuthError;
use crate::query::{ErrorCode, ExecutionResult, GraphqlError, OVERLOAD_RETRY_AFTER, Outcome, Trace};

/// A GraphQL error with a status that doesn't depend on the media type.
#[derive(Debug)]
pub(super) struct HttpError {
    status: StatusCode,
    error: GraphqlError,
    header: Option<(HeaderName, &'static str)>,
}

impl HttpError {
    fn new(status: StatusCode, error: GraphqlError) -> Self {
        Self { status, error, header: None }
    }

    fn with_header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.header = Some((name, value));
        self
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        let error = ErrorCode::BadUserInput.error(message);
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    pub(super) fn not_acceptable() -> Self {
        let error = ErrorCode::BadUserInput
            .error("responses are application/json or application/graphql-response+json: accept one of them");
        Self::new(StatusCode::NOT_ACCEPTABLE, error)
    }

    pub(super) fn unsupported_media_type() -> Self {
        let error =
            ErrorCode::BadUserInput.error("send the request as content-type application/json, in UTF-8");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, error)
            .with_header(HeaderName::from_static("accept-post"), "application/json")
    }

    pub(super) fn method_not_allowed(allowed: &'static str) -> Self {
        let error = ErrorCode::BadUserInput.error(format!("use one of: {allowed}"));
        Self::new(StatusCode::METHOD_NOT_ALLOWED, error).with_header(header::ALLOW, allowed)
    }

    pub(super) fn mutation_by_get() -> Self {
        let error = ErrorCode::BadUserInput.error("a mutation must be sent by POST");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, error).with_header(header::ALLOW, "POST")
    }

    pub(super) fn subscription() -> Self {
        Self::bad_request("subscriptions are served over WebSocket, with the graphql-transport-ws protocol")
    }

    pub(super) fn payload_too_large(limit: usize) -> Self {
        let error = ErrorCode::PayloadTooLarge.error(format!("the body is larger than {limit} bytes"));
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, error)
    }

    pub(super) fn slow_body() -> Self {
        let error = ErrorCode::DeadlineExceeded
            .error("the body took too long to arrive")
            .outcome(Outcome::None)
            .retryable(true);
        Self::new(StatusCode::REQUEST_TIMEOUT, error)
    }

    pub(super) fn bad_token() -> Self {
        let error = ErrorCode::Unauthenticated.error("the token is not valid");
        Self::new(StatusCode::UNAUTHORIZED, error).with_header(header::WWW_AUTHENTICATE, "Bearer")
    }

    pub(super) fn internal(error: GraphqlError) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error)
    }

    pub(super) fn respond(self, format: ResponseFormat, trace: &Trace) -> Response {
        let result = ExecutionResult::request_error(self.error, trace);
        let mut response = respond_with(self.status, result, format);
        if let Some((name, value)) = self.header {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

/// An error without a status of its own means that the gateway can't serve the request at the moment.
impl From<GraphqlError> for HttpError {
    fn from(error: GraphqlError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }
}

impl From<AuthError> for HttpError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::BadToken => Self::bad_token(),
            AuthError::Unavailable => ErrorCode::ServiceUnavailable
                .error("tokens can't be checked at the moment")
                .retry_after(OVERLOAD_RETRY_AFTER)
                .into(),
        }
    }
}
