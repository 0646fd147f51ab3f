//! HTTP responses: which of the two media types they have, their status and headers, and the errors of requests that
//! never become an operation.

use std::{borrow::Cow, time::Duration};

use async_graphql_axum::GraphQLResponse;
use axum::Json;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::accept::ranges;
use super::encoding::ENCODINGS;
use crate::auth::AuthError;
use crate::query::{ErrorCode, ExecutionResult, GraphqlError, OVERLOAD_RETRY_AFTER, Outcome, Trace};

/// The media type of a response. It also decides the status of request errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResponseFormat {
    /// `application/json`: 200 for every well-formed request, as old clients expect.
    Json,
    /// `application/graphql-response+json`: the status says whether the document was executed.
    GraphqlResponse,
}

impl ResponseFormat {
    /// Returns what the client prefers; `application/json` if it doesn't say, none if it accepts neither. Between equals
    /// the newer type wins, which only clients that know it list.
    pub(super) fn preferred(headers: &HeaderMap) -> Option<Self> {
        let mut accepted = ranges(headers).peekable();
        if accepted.peek().is_none() {
            return Some(Self::Json);
        }
        // The most precise range that includes a type is what counts for it (RFC 9110, section 12.5.1).
        let (mut json, mut graphql) = ((0, 0.0_f32), (0, 0.0_f32));
        for (range, quality) in accepted {
            let (counts, precision) = match range.name.as_str() {
                "application/graphql-response+json" => (&mut graphql, 3),
                "application/json" => (&mut json, 3),
                "application/*" => (&mut json, 2),
                "*/*" => (&mut json, 1),
                _ => continue,
            };
            if precision >= counts.0 {
                *counts = (precision, quality);
            }
        }
        let (json, graphql) = (json.1, graphql.1);
        let preferred = if json > graphql { Self::Json } else { Self::GraphqlResponse };
        (json > 0.0 || graphql > 0.0).then_some(preferred)
    }
}

/// Returns the response to a request that was understood.
pub(super) fn respond(result: ExecutionResult, format: ResponseFormat) -> Response {
    let status = match &result {
        ExecutionResult::Executed(_) => StatusCode::OK,
        ExecutionResult::RequestError { errors } => match (errors.first().and_then(ErrorCode::of), format) {
            (Some(ErrorCode::InternalServerError), _) => StatusCode::INTERNAL_SERVER_ERROR,
            (Some(ErrorCode::DeadlineExceeded), _) => StatusCode::GATEWAY_TIMEOUT,
            (Some(ErrorCode::Overloaded | ErrorCode::ServiceUnavailable), _) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            (_, ResponseFormat::Json) => StatusCode::OK,
            (_, ResponseFormat::GraphqlResponse) => StatusCode::BAD_REQUEST,
        },
    };
    respond_with(status, result, format)
}

/// Returns the response to a batch: a list, for which there is no media type of its own.
pub(super) fn respond_to_batch(results: &[ExecutionResult]) -> Response {
    let mut response = Json(results).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Returns a response with this status. One that asks the client to come back later says when.
fn respond_with(status: StatusCode, result: ExecutionResult, format: ResponseFormat) -> Response {
    let mut response = match result {
        ExecutionResult::Executed(response) => GraphQLResponse::from(response).into_response(),
        // GraphQLResponse always writes a `data` entry, which says that the document was executed.
        ExecutionResult::RequestError { .. } => Json(result).into_response(),
    };
    *response.status_mut() = status;
    let content_type = match format {
        ResponseFormat::Json => "application/json; charset=utf-8",
        ResponseFormat::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    // Responses differ by viewer and by media type; no cache may keep one for another viewer.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, OVERLOAD_RETRY_AFTER.as_secs().into());
    }
    response
}

/// Why a request never becomes an operation. The status doesn't depend on the media type.
#[derive(Debug)]
pub(super) enum HttpError {
    BadRequest(Cow<'static, str>),
    NotAcceptable,
    UnsupportedMediaType,
    UnsupportedEncoding,
    MethodNotAllowed,
    MutationByGet,
    /// A GET that a page of another origin may have sent.
    NotPreflighted,
    PayloadTooLarge(usize),
    TargetTooLong(usize),
    HeaderTooLarge {
        fields: usize,
        bytes: usize,
    },
    SlowBody,
    BadToken,
    NotFound,
    /// A path that is read alone.
    OnlyGet,
    /// A WebSocket of another version than 13.
    UpgradeRequired,
    /// Its operations ask for too much together.
    TooComplex(GraphqlError),
    /// The client sends too much.
    RateLimited(GraphqlError),
    /// The gateway can't serve the request at the moment.
    Unavailable(GraphqlError),
    Internal,
}

impl HttpError {
    /// Why a request for a WebSocket is none.
    pub(super) fn of_upgrade(headers: &HeaderMap, rejection: &WebSocketUpgradeRejection) -> Self {
        let version = headers.get(header::SEC_WEBSOCKET_VERSION);
        match version.is_some_and(|version| version.as_bytes() != b"13") {
            true => Self::UpgradeRequired,
            false => Self::BadRequest(rejection.body_text().into()),
        }
    }

    pub(super) fn respond(self, format: ResponseFormat, trace: &Trace) -> Response {
        let invalid = |status, message: &str| (status, ErrorCode::BadUserInput.error(message), None);
        let not_allowed = |methods, message| {
            let error = ErrorCode::BadUserInput.error(message);
            (StatusCode::METHOD_NOT_ALLOWED, error, Some((header::ALLOW, methods)))
        };
        let retry_after = match &self {
            Self::RateLimited(error) | Self::Unavailable(error) => error.retry_wait(),
            _ => None,
        };
        let (status, error, header) = match self {
            Self::BadRequest(message) => invalid(StatusCode::BAD_REQUEST, &message),
            Self::NotAcceptable => invalid(
                StatusCode::NOT_ACCEPTABLE,
                "responses are application/json, application/graphql-response+json, text/event-stream or, for \
                 subscriptions, multipart/mixed;subscriptionSpec=1.0: accept one of them",
            ),
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                ErrorCode::BadUserInput.error("send the request as content-type application/json, in UTF-8"),
                Some((HeaderName::from_static("accept-post"), "application/json")),
            ),
            Self::UnsupportedEncoding => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                ErrorCode::BadUserInput.error(format!("the body's encoding is not one of {ENCODINGS}")),
                Some((header::ACCEPT_ENCODING, ENCODINGS)),
            ),
            Self::MethodNotAllowed => not_allowed("GET, POST", "use one of: GET, POST"),
            Self::NotPreflighted => invalid(
                StatusCode::BAD_REQUEST,
                "a GET needs a header that no page of another origin can send unasked: authorization, \
                 graphql-require-preflight, or content-type: application/json",
            ),
            Self::MutationByGet => not_allowed("POST", "a mutation must be sent by POST"),
            Self::PayloadTooLarge(limit) => {
                let message = format!("the body is larger than {limit} bytes");
                (StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::PayloadTooLarge.error(message), None)
            }
            Self::TargetTooLong(limit) => {
                let message = format!("the request's target is longer than {limit} bytes: send it by POST");
                (StatusCode::URI_TOO_LONG, ErrorCode::PayloadTooLarge.error(message), None)
            }
            Self::HeaderTooLarge { fields, bytes } => {
                let message = format!("the header has more than {fields} fields or {bytes} bytes");
                let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                (status, ErrorCode::PayloadTooLarge.error(message), None)
            }
            Self::SlowBody => {
                let error = ErrorCode::DeadlineExceeded.error("the body took too long to arrive");
                (StatusCode::REQUEST_TIMEOUT, error.outcome(Outcome::None).retryable(true), None)
            }
            Self::NotFound => invalid(StatusCode::NOT_FOUND, "there is nothing here: GraphQL is at /graphql"),
            Self::OnlyGet => not_allowed("GET, HEAD", "use one of: GET, HEAD"),
            Self::UpgradeRequired => (
                StatusCode::UPGRADE_REQUIRED,
                ErrorCode::BadUserInput.error("use version 13 of the WebSocket protocol"),
                Some((header::SEC_WEBSOCKET_VERSION, "13")),
            ),
            Self::BadToken => (
                StatusCode::UNAUTHORIZED,
                ErrorCode::Unauthenticated.error("the token is not valid"),
                Some((header::WWW_AUTHENTICATE, "Bearer")),
            ),
            Self::TooComplex(error) => (StatusCode::BAD_REQUEST, error, None),
            Self::RateLimited(error) => (StatusCode::TOO_MANY_REQUESTS, error, None),
            Self::Unavailable(error) => (StatusCode::SERVICE_UNAVAILABLE, error, None),
            Self::Internal => {
                let error = ErrorCode::InternalServerError.error("internal error");
                (StatusCode::INTERNAL_SERVER_ERROR, error, None)
            }
        };
        let result = ExecutionResult::request_error(error, trace);
        let mut response = respond_with(status, result, format);
        response.headers_mut().extend(header.map(|(name, value)| (name, HeaderValue::from_static(value))));
        if let Some(wait) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, whole_seconds(wait).into());
        }
        response
    }
}

/// The seconds of a `Retry-After`, which are not too few.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

impl From<GraphqlError> for HttpError {
    fn from(error: GraphqlError) -> Self {
        Self::Unavailable(error)
    }
}

impl From<AuthError> for HttpError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::BadToken => Self::BadToken,
            AuthError::Unavailable => ErrorCode::ServiceUnavailable
                .error("tokens can't be checked at the moment")
                .retry_after(OVERLOAD_RETRY_AFTER)
                .into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_media_type_is_what_the_client_likes_best() {
        let (json, graphql) = (Some(ResponseFormat::Json), Some(ResponseFormat::GraphqlResponse));
        for (accept, expected) in [
            ("", json),
            ("*/*", json),
            ("application/*", json),
            ("application/json", json),
            ("application/json; charset=utf-8", json),
            ("application/graphql-response+json", graphql),
            ("Application/GraphQL-Response+JSON; charset=utf-8", graphql),
            ("application/json, application/graphql-response+json", graphql),
            ("application/graphql-response+json, */*;q=0.5", graphql),
            ("application/graphql-response+json;q=0.5, application/json", json),
            ("application/graphql-response+json;q=0, */*", json),
            ("text/html, */*;q=0.8", json),
            ("text/html", None),
            ("application/json;q=0", None),
            ("application/json;q=0, */*", None),
            ("*/*, application/json;q=0, application/graphql-response+json;q=0.1", graphql),
            ("application/*;q=0, */*", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(ResponseFormat::preferred(&headers), expected, "{accept}");
        }
    }
}
