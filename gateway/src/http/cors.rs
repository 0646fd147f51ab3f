//! Which pages of other origins may call the gateway from a browser (<https://fetch.spec.whatwg.org/#http-cors-protocol>).
//!
//! Tokens travel in a header that pages set themselves, so that no credentials of the browser's are allowed.

use std::time::Duration;

use axum::http::{HeaderValue, Method, header, request::Parts};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use url::{Host, Url};

use super::headers::{REQUEST_ID, TRACE_RESPONSE};

/// How long a browser may keep the answer to a preflight request; browsers have lower limits of their own.
const MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// The origins whose pages may call the gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CorsOrigins {
    /// None but the gateway's own.
    #[default]
    None,
    /// Those of this machine, at any port, as front-end tools use them.
    Local,
    /// These.
    Listed(Vec<HeaderValue>),
    /// All.
    Any,
}

impl CorsOrigins {
    /// Reads `*`, `local`, or origins separated by commas. The error says which one is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "" => Ok(Self::None),
            "*" => Ok(Self::Any),
            "local" => Ok(Self::Local),
            list => list.split(',').map(origin).collect::<Result<_, _>>().map(Self::Listed),
        }
    }

    /// The layer that answers preflight requests and marks responses. Nothing if no other origin is allowed.
    pub(super) fn layer(self) -> Option<CorsLayer> {
        let origins = match self {
            Self::None => return None,
            Self::Local => AllowOrigin::predicate(|origin: &HeaderValue, _: &Parts| is_local(origin)),
            Self::Listed(origins) => AllowOrigin::list(origins),
            Self::Any => AllowOrigin::any(),
        };
        let layer = CorsLayer::new()
            .allow_origin(origins)
            .allow_methods([Method::GET, Method::HEAD, Method::POST])
            .allow_headers(AllowHeaders::mirror_request())
            .expose_headers([header::RETRY_AFTER, REQUEST_ID, TRACE_RESPONSE])
            .max_age(MAX_AGE);
        Some(layer)
    }
}

/// An origin as browsers send it: scheme, host, and the port unless it is the scheme's own.
fn origin(text: &str) -> Result<HeaderValue, String> {
    let text = text.trim();
    let is_origin = |url: &Url| {
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        ["http", "https"].contains(&url.scheme()) && is_bare && url.username().is_empty()
    };
    let url = Url::parse(text).ok().filter(is_origin);
    let origin = url.and_then(|url| HeaderValue::from_str(&url.origin().ascii_serialization()).ok());
    origin.ok_or_else(|| format!("{text:?} is not an origin, such as https://shop.example, nor * or local"))
}

fn is_local(origin: &HeaderValue) -> bool {
    let url = origin.to_str().ok().and_then(|origin| Url::parse(origin).ok());
    url.filter(|url| ["http", "https"].contains(&url.scheme())).is_some_and(|url| match url.host() {
        Some(Host::Domain(domain)) => domain == "localhost" || domain.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_written_as_browsers_send_them() {
        let listed = |origins: &[&'static str]| {
            Ok(CorsOrigins::Listed(origins.iter().map(|origin| HeaderValue::from_static(origin)).collect()))
        };
        assert_eq!(CorsOrigins::parse(" "), Ok(CorsOrigins::None));
        assert_eq!(CorsOrigins::parse("*"), Ok(CorsOrigins::Any));
        assert_eq!(CorsOrigins::parse("local"), Ok(CorsOrigins::Local));
        let two = "https://Shop.example:443/, http://admin.example:8080";
        assert_eq!(CorsOrigins::parse(two), listed(&["https://shop.example", "http://admin.example:8080"]));
        for bad in
            ["shop.example", "ftp://shop.example", "https://shop.example/path", "https://a@b", "null", ","]
        {
            assert!(CorsOrigins::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn local_origins_are_those_of_this_machine_at_any_port() {
        for (origin, expected) in [
            ("http://localhost:5173", true),
            ("https://app.localhost", true),
            ("http://127.0.0.1:3000", true),
            ("http://[::1]:3000", true),
            ("http://localhost.example", false),
            ("http://10.0.0.1", false),
            ("null", false),
        ] {
            assert_eq!(is_local(&HeaderValue::from_static(origin)), expected, "{origin}");
        }
    }
}
