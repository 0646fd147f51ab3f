//! The page at `/`: GraphiQL with example tabs and, in mock mode, a token.
//!
//! Its files come from a CDN (or from `assets_url`), pinned by version and hash. Its own script is allowed by hash, and
//! nothing else runs.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{Html, IntoResponse, Response};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::json;
use service_kit::config::Secret;
use sha2::{Digest, Sha256};

const PAGE: &str = include_str!("playground/page.html");
const STYLE: &str = include_str!("playground/page.css");
const SCRIPT: &str = include_str!("playground/page.js");

/// What the page shows.
#[derive(Clone, Debug)]
pub struct Playground {
    /// The base address of the files, laid out like [`CDN`].
    pub assets_url: String,
    /// A token to fill in. Every browser that opens the page gets it: for mock mode only.
    pub token: Option<Secret>,
}

impl Default for Playground {
    fn default() -> Self {
        Self { assets_url: CDN.to_owned(), token: None }
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
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn html_safe(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}

/// A source that can't end its directive (CSP 3, section 2.3.1).
fn policy_safe(url: &str) -> String {
    url.replace(';', "%3B").replace(',', "%2C").replace(' ', "%20")
}

/// The base address of the files by default. It serves npm's files unchanged.
pub const CDN: &str = "https://cdn.jsdelivr.net/npm";

/// A file of an npm package. Browsers refuse it unless its bytes have this hash.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    pub package: &'static str,
    pub version: &'static str,
    /// The file's path inside the package.
    pub path: &'static str,
    /// Its SHA-384 as a subresource integrity value.
    pub integrity: &'static str,
}

impl Asset {
    /// The file's address below `base`, which has the layout of [`CDN`].
    pub fn url(&self, base: &str) -> String {
        let Self { package, version, path, .. } = self;
        format!("{}/{package}@{version}/{path}", base.trim_end_matches('/'))
    }
}

pub const STYLES: [Asset; 1] = [Asset {
    package: "graphiql",
    version: "4.1.2",
    path: "graphiql.min.css",
    integrity: "sha384-1el1QShFBnnXTx9x/Cprg82hZWKt0ry29OAYIXt05swbi0KcZDFoj0CWguMpopJr",
}];

/// The page's scripts, in the order they are loaded.
pub const SCRIPTS: [Asset; 4] = [
    Asset {
        package: "react",
        version: "18.3.1",
        path: "umd/react.production.min.js",
        integrity: "sha384-DGyLxAyjq0f9SPpVevD6IgztCFlnMF6oW/XQGmfe+IsZ8TqEiDrcHkMLKI6fiB/Z",
    },
    Asset {
        package: "react-dom",
        version: "18.3.1",
        path: "umd/react-dom.production.min.js",
        integrity: "sha384-gTGxhz21lVGYNMcdJOyq01Edg0jhn/c22nsx0kyqP0TxaV5WVdsSH1fSDUf5YJj1",
    },
    Asset {
        package: "graphql-ws",
        version: "6.0.6",
        path: "umd/graphql-ws.min.js",
        integrity: "sha384-L1uJSNgAjZOt7z6iPU+1qyztx98nQKw6uivIFC4oPZlOoimpFurLFG/Ysyo4BkAp",
    },
    Asset {
        package: "graphiql",
        version: "4.1.2",
        path: "graphiql.min.js",
        integrity: "sha384-9XdHu7ajgGJziD4J1zNBKQ842Q/+zZfDv+ib1eMhZWBH6hPAs806x+Jbcf0yNO6B",
    },
];
