//! Headers that every response has, and the id by which a client and the logs know a request.

use axum::extract::{Request, State};
use axum::http::header::{
    CONTENT_SECURITY_POLICY, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::{middleware::Next, response::Response};

use super::server::{self, Lifecycle};

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(super) const TRACE_RESPONSE: HeaderName = HeaderName::from_static("traceresponse");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

const MAX_REQUEST_ID_BYTES: usize = 128;

/// Set unless a response has its own: a browser takes it for what it says it is, shows it in no page, and loads nothing for
/// it. Whether traffic is encrypted is known to what ends TLS, which adds `Strict-Transport-Security`.
static SECURITY: [(HeaderName, HeaderValue); 5] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (RESOURCE_POLICY, HeaderValue::from_static("same-origin")),
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
];

/// Returns the id that a request came with: the client's, or that of a proxy in front. One that is longer or has other
/// characters than ids have is ignored, since it goes into logs.
pub(super) fn request_id(headers: &HeaderMap) -> Option<&HeaderValue> {
    let is_character = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    let id = headers.get(REQUEST_ID)?;
    let is_id = (1..=MAX_REQUEST_ID_BYTES).contains(&id.len()) && id.as_bytes().iter().all(is_character);
    is_id.then_some(id)
}

/// Completes every response of the public port.
pub(super) async fn complete(State(lifecycle): State<Lifecycle>, request: Request, next: Next) -> Response {
    let request_id = request_id(request.headers()).cloned();
    let version = request.version();
    let mut response = next.run(request).await;
    server::announce_drain(&lifecycle, version, &mut response);
    let headers = response.headers_mut();
    for (name, value) in &SECURITY {
        if !headers.contains_key(name) {
            headers.insert(name.clone(), value.clone());
        }
    }
    if let Some(id) = request_id {
        headers.insert(REQUEST_ID, id);
    } else if !headers.contains_key(REQUEST_ID) {
        let id = format!("{:032x}", rand::random::<u128>());
        headers.extend(HeaderValue::try_from(id).ok().map(|id| (REQUEST_ID, id)));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_could_break_a_log_line_is_none() {
        let longest = "x".repeat(MAX_REQUEST_ID_BYTES);
        let too_long = "x".repeat(MAX_REQUEST_ID_BYTES + 1);
        for (id, expected) in [
            ("7b3f-0A_1.c", true),
            ("Root=1-67891233-abcdef012345678912345678", true),
            (longest.as_str(), true),
            (too_long.as_str(), false),
            ("", false),
            ("a b", false),
            ("a\tb", false),
            ("{\"a\"}", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_str(id).expect("a header's value"));
            assert_eq!(request_id(&headers).is_some(), expected, "{id}");
        }
    }
}
