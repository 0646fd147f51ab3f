//! Requests that a page of another origin can make a browser send without asking the gateway first
//! (<https://fetch.spec.whatwg.org/#cors-safelisted-request-header>). POSTs need a content type that no such page can send,
//! GETs a header.

use axum::http::{HeaderMap, header};

/// Headers that a page of another origin can send only after a preflight request, which the gateway answers by its list of
/// origins.
const PREFLIGHTED: [&str; 5] = [
    "authorization",
    "graphql-require-preflight",
    "apollo-require-preflight",
    "x-apollo-operation-name",
    "x-requested-with",
];

/// Whether a GET can't come from a page of another origin that was not allowed to send it.
pub(super) fn is_preflighted(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_json = text(header::CONTENT_TYPE.as_str()).to_ascii_lowercase().starts_with("application/json");
    // Browsers say by themselves where a request comes from, and pages can't.
    let is_own = ["same-origin", "none"].contains(&text("sec-fetch-site"));
    is_json || is_own || PREFLIGHTED.iter().any(|name| headers.contains_key(*name))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn what_a_foreign_page_can_send_unasked_is_not_enough() {
        for (name, value, expected) in [
            ("content-type", "application/json; charset=utf-8", true),
            ("authorization", "Bearer x", true),
            ("graphql-require-preflight", "1", true),
            ("apollo-require-preflight", "true", true),
            ("x-apollo-operation-name", "Q", true),
            ("sec-fetch-site", "same-origin", true),
            ("sec-fetch-site", "none", true),
            ("sec-fetch-site", "cross-site", false),
            ("sec-fetch-site", "same-site", false),
            ("content-type", "text/plain", false),
            ("content-type", "application/x-www-form-urlencoded", false),
            ("accept", "application/graphql-response+json", false),
            ("accept-language", "application/json", false),
        ] {
            let name = HeaderName::from_static(name);
            let headers = HeaderMap::from_iter([(name.clone(), HeaderValue::from_static(value))]);
            assert_eq!(is_preflighted(&headers), expected, "{name}: {value}");
        }
        assert!(!is_preflighted(&HeaderMap::new()));
    }
}
