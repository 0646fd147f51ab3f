//! Results as HTTP responses.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::Response,
};

use super::media::Media;
use crate::http::{ErrorCode, engine::OVERLOAD_PAUSE, outcome::GraphqlResult};

/// The response to a request that was understood.
pub(super) fn reply(result: &GraphqlResult, media: Media) -> Response {
    render(status(result, media), media, result)
}

fn status(result: &GraphqlResult, media: Media) -> StatusCode {
    if !result.is_request_error() {
        return StatusCode::OK;
    }
    match (result.first_code(), media) {
        (Some(ErrorCode::InternalServerError), _) => StatusCode::INTERNAL_SERVER_ERROR,
        (Some(ErrorCode::DeadlineExceeded), _) => StatusCode::GATEWAY_TIMEOUT,
        (Some(ErrorCode::Overloaded | ErrorCode::ServiceUnavailable), _) => StatusCode::SERVICE_UNAVAILABLE,
        (_, Media::Json) => StatusCode::OK,
        (_, Media::GraphqlResponse) => StatusCode::BAD_REQUEST,
    }
}

/// A response with this status. Those that ask to come back later say when.
pub(super) fn render(status: StatusCode, media: Media, result: &GraphqlResult) -> Response {
    let json = serde_json::to_vec(result).expect("results are made of JSON's own types");
    let mut response = Response::new(Body::from(json));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media.content_type()));
    // Answers differ by caller and by media type; none may be kept for another.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, OVERLOAD_PAUSE.as_secs().into());
    }
    response
}
