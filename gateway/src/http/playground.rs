//! The page at `/`: GraphiQL with example tabs and, in mock mode, a token.
//!
//! Its files are npm's, pinned by version and hash. The build script makes them a part of the program; a build that could
//! not reach npm loads them from a CDN. The page's own script is allowed by hash, and nothing else runs.

mod assets;

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::json;
use service_kit::config::Secret;
use sha2::{Digest, Sha256};

pub use self::assets::{Asset, CDN, SCRIPTS, STYLES};

// EMBEDDED: the contents of STYLES and SCRIPTS, in this order, if the build holds them.
include!(concat!(env!("OUT_DIR"), "/playground.rs"));

/// The base address of the files that this build holds.
pub const OWN_FILES: &str = "/playground/npm";

const PAGE: &str = include_str!("playground/page.html");
const STYLE: &str = include_str!("playground/page.css");
const SCRIPT: &str = include_str!("playground/page.js");

/// What the page shows.
#[derive(Clone, Debug)]
pub struct Playground {
    /// The base address of the files, laid out like [`CDN`]: by default [`OWN_FILES`], or the CDN in a build without them.
    pub assets_url: String,
    /// A token to fill in. Every browser that opens the page gets it: for mock mode only.
    pub token: Option<Secret>,
}

impl Default for Playground {
    fn default() -> Self {
        let assets_url = if EMBEDDED.is_some() { OWN_FILES } else { CDN };
        Self { assets_url: assets_url.to_owned(), token: None }
    }
}

#[derive(Serialize)]
struct Tab {
    query: &'static str,
    variables: Option<&'static str>,
}

const TABS: [Tab; 5] = [
    Tab {
        query: include_str!("playground/examples/create-order.graphql"),
        variables: Some(include_str!("playground/examples/create-order.json")),
    },
    Tab { query: include_str!("playground/examples/watch-orders.graphql"), variables: None },
    Tab {
        query: include_str!("playground/examples/my-orders.graphql"),
        variables: Some(include_str!("playground/examples/my-orders.json")),
    },
    Tab {
        query: include_str!("playground/examples/orders-to-ship.graphql"),
        variables: Some(include_str!("playground/examples/orders-to-ship.json")),
    },
    Tab { query: include_str!("playground/examples/watch-all-orders.graphql"), variables: None },
];

/// A page ready to be sent, with the policy that admits its own parts alone.
#[derive(Debug)]
pub struct Page {
    pub html: String,
    /// The value of its `Content-Security-Policy`.
    pub policy: String,
}

impl Playground {
    pub fn render(&self) -> Page {
        let config = json!({ "token": self.token.as_ref().map(Secret::expose), "tabs": TABS });
        // JSON that can't end the script block it stands in: no `<` survives.
        let config = config.to_string().replace('<', "\\u003c");
        let html = PAGE
            .replace("{{styles}}", &self.tags(&STYLES, "<link rel=\"stylesheet\" href", ">"))
            .replace("{{style}}", STYLE)
            .replace("{{scripts}}", &self.tags(&SCRIPTS, "<script src", "></script>"))
            .replace("{{script}}", SCRIPT)
            .replace("{{config}}", &config);
        Page { html, policy: self.policy() }
    }

    fn tags(&self, assets: &[Asset], start: &str, end: &str) -> String {
        let tag = |asset: &Asset| {
            let (url, integrity) = (html_safe(&asset.url(&self.assets_url)), asset.integrity);
            format!(r#"{start}="{url}" integrity="{integrity}" crossorigin="anonymous"{end}"#)
        };
        assets.iter().map(tag).collect::<Vec<_>>().join("\n    ")
    }

    fn policy(&self) -> String {
        let sources = |assets: &[Asset]| {
            // A policy names paths only behind a host.
            if self.assets_url.starts_with('/') {
                return "'self'".to_owned();
            }
            let urls = assets.iter().map(|asset| policy_safe(&asset.url(&self.assets_url)));
            urls.collect::<Vec<_>>().join(" ")
        };
        let script_hash = STANDARD.encode(Sha256::digest(SCRIPT));
        [
            "default-src 'none'".to_owned(),
            format!("script-src {} 'sha256-{script_hash}'", sources(&SCRIPTS)),
            // The editor sets styles of its own while it runs.
            format!("style-src {} 'unsafe-inline'", sources(&STYLES)),
            "font-src data:; img-src 'self' data:; connect-src 'self'".to_owned(),
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'".to_owned(),
        ]
        .join("; ")
    }
}

pub(super) async fn page(State(page): State<Arc<Page>>) -> Response {
    let mut response = Html(page.html.clone()).into_response();
    let headers = response.headers_mut();
    let policy = HeaderValue::from_str(&page.policy).ok();
    headers.extend(policy.map(|policy| (header::CONTENT_SECURITY_POLICY, policy)));
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Serves a file below [`OWN_FILES`]. Its address has its version, so that browsers need not ask for it again.
pub(super) async fn file(Path(path): Path<String>) -> Response {
    let mut files = STYLES.iter().chain(&SCRIPTS).zip(EMBEDDED.into_iter().flatten());
    let Some((asset, bytes)) = files.find(|(asset, _)| asset.url("") == format!("/{path}")) else {
        return super::handler::not_found().await;
    };
    let kind = if asset.path.ends_with(".css") { "text/css" } else { "text/javascript" };
    let headers = [
        (header::CONTENT_TYPE, format!("{kind}; charset=utf-8")),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    (headers, bytes).into_response()
}

fn html_safe(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}

/// A source that can't end its directive (CSP 3, section 2.3.1).
fn policy_safe(url: &str) -> String {
    url.replace(';', "%3B").replace(',', "%2C").replace(' ', "%20")
}
