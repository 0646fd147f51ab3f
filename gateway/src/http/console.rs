//! The page at `/console`: a shop, orders and plots, over the public API alone.
//!
//! Its files are part of the program, and nothing else runs in it: no script or style within the page, none from another
//! host, and no text that becomes markup (trusted types).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use service_kit::config::Secret;
use sha2::{Digest, Sha256};
use url::Url;

use super::handler;
use crate::auth::{AuthConfig, Scope, mint};

/// Whether the console is served, and how its page signs in.
#[derive(Clone, Debug, Default)]
pub enum Console {
    #[default]
    Off,
    /// Each of the demo's identities is signed in, by a token made with this secret: for mock mode only.
    Mock(Secret),
    /// The page at this address hands a token over. If there is none, a token is pasted.
    SignIn(Option<Url>),
}

/// What the setting `CONSOLE` asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ConsoleSetting {
    /// On in mock mode, off in jwks mode.
    #[default]
    ByMode,
    Off,
    On,
    /// On, signed in by the page at this address.
    SignInPage(Url),
}

impl ConsoleSetting {
    /// Reads `on`, `off`, or an http or https URL. The error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            text => {
                let url = Url::parse(text).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
                let problem =
                    || format!("{text:?} is not on, off, or the http or https URL of a sign-in page");
                url.map(Self::SignInPage).ok_or_else(problem)
            }
        }
    }
}

/// How long a token of an identity is good; the page fetches the next one by itself.
const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// Name, customer and scopes of each identity of mock mode.
const IDENTITIES: [(&str, &str, &[Scope]); 3] = [
    ("Customer CUST01", "CUST01", &[Scope::OrdersRead, Scope::OrdersWrite]),
    ("Customer CUST02", "CUST02", &[Scope::OrdersRead, Scope::OrdersWrite]),
    ("Warehouse", "WAREHOUSE", &[Scope::OrdersRead, Scope::OrdersFulfil, Scope::OrdersAll]),
];

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

macro_rules! files {
    ($($name:literal)+) => { [$(($name, include_str!(concat!("../../console/", $name)))),+] };
}

const PAGE: &str = include_str!("../../console/index.html");
const FILES: [(&str, &str); 27] = files![
    "action-form.js" "actions.js" "api.js" "app.js" "basket-form.js" "basket.js" "console.css" "demo.js"
    "documents.js" "dom.js" "emitter.js" "format.js" "keyboard.js" "live.js" "measures.js" "notice.js"
    "order-filter.js" "order-list.js" "router.js" "session.js" "socket.js" "store.js" "view-now.js"
    "view-order.js" "view-orders.js" "view-shop.js" "window-list.js"
];

impl Console {
    pub fn new(setting: &ConsoleSetting, auth: &AuthConfig) -> Self {
        match (setting, auth) {
            (ConsoleSetting::Off, _) | (ConsoleSetting::ByMode, AuthConfig::Jwks { .. }) => Self::Off,
            (ConsoleSetting::SignInPage(page), _) => Self::SignIn(Some(page.clone())),
            (ConsoleSetting::On, AuthConfig::Jwks { .. }) => Self::SignIn(None),
            (_, AuthConfig::Mock { secret }) => Self::Mock(secret.clone()),
        }
    }

    /// Returns the routes of the page, its files and its configuration; none if it is off.
    pub(super) fn routes(self) -> Router {
        if matches!(self, Self::Off) {
            return Router::new();
        }
        let opener = match self {
            // The sign-in page's window has to reach back.
            Self::SignIn(Some(_)) => "same-origin-allow-popups",
            _ => "same-origin",
        };
        let page = async move |headers: HeaderMap| page(&headers, opener);
        let paths = [
            "/console",
            "/console/",
            "/console/shop",
            "/console/orders",
            "/console/orders/{id}",
            "/console/now",
        ];
        let router = Router::new()
            .route("/console/config.json", get(config))
            .with_state(Arc::new(self))
            .route("/console/files/{name}", get(file));
        paths.into_iter().fold(router, |router, path| router.route(path, get(page)))
    }
}

fn page(request: &HeaderMap, opener_policy: &'static str) -> Response {
    let mut response = cached(request, "text/html; charset=utf-8", PAGE);
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), opener_policy),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Some((name, text)) = FILES.iter().find(|(known, _)| *known == name) else {
        return handler::not_found().await;
    };
    let kind =
        if name.ends_with(".css") { "text/css; charset=utf-8" } else { "text/javascript; charset=utf-8" };
    cached(&headers, kind, text)
}

/// Browsers ask each time whether a file has changed, so that no page runs with files of two releases.
fn cached(request: &HeaderMap, kind: &'static str, text: &'static str) -> Response {
    let tag = format!("W/\"{}\"", URL_SAFE_NO_PAD.encode(&Sha256::digest(text)[..12]));
    let known = request.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    let is_known = known.is_some_and(|known| known.split(',').any(|known| known.trim() == tag));
    let mut response =
        if is_known { StatusCode::NOT_MODIFIED.into_response() } else { Html(text).into_response() };
    let headers = response.headers_mut();
    headers.extend(HeaderValue::from_str(&tag).ok().map(|tag| (header::ETAG, tag)));
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    mode: &'static str,
    identities: Vec<Identity>,
    sign_in_page: Option<String>,
}

#[derive(Serialize)]
struct Identity {
    name: &'static str,
    token: String,
}

/// Answers the page alone: CORS may let pages of other origins read what this port serves, tokens among it.
async fn config(State(console): State<Arc<Console>>, headers: HeaderMap) -> Response {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
        return handler::not_found().await;
    }
    let config = match &*console {
        Console::Off => return handler::not_found().await,
        Console::SignIn(page) => Config {
            mode: "sign-in",
            identities: Vec::new(),
            sign_in_page: page.as_ref().map(Url::to_string),
        },
        Console::Mock(secret) => Config { mode: "mock", identities: identities(secret), sign_in_page: None },
    };
    ([(header::CACHE_CONTROL, "no-store"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")], Json(config))
        .into_response()
}

/// A token that can't be made, as with a secret that is too short, leaves its identity out.
fn identities(secret: &Secret) -> Vec<Identity> {
    let tokens = IDENTITIES.iter().filter_map(|(name, customer, scopes)| {
        let token = mint(secret.expose(), customer, scopes.iter().copied().collect(), TOKEN_LIFETIME);
        token
            .inspect_err(|error| tracing::error!(%error, "cannot make a token"))
            .ok()
            .map(|token| Identity { name, token })
    });
    tokens.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/console");

    #[test]
    fn every_file_of_the_folder_is_served() {
        let mut served: Vec<_> = FILES.iter().map(|(name, _)| (*name).to_owned()).collect();
        served.push("index.html".to_owned());
        served.sort();
        let names = std::fs::read_dir(FOLDER).unwrap();
        let mut there: Vec<_> = names.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        there.sort();
        assert_eq!(served, there);
    }

    #[test]
    fn no_file_makes_markup_of_text_or_names_another_host() {
        for (name, text) in FILES.iter().chain([("index.html", PAGE)].iter()) {
            for forbidden in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "style=\"",
                "onclick=\"",
            ] {
                assert!(!text.contains(forbidden), "{name}: {forbidden}");
            }
            let addresses = text.matches("http://").count() + text.matches("https://").count();
            let namespaces = text.matches("http://www.w3.org/2000/svg").count();
            assert_eq!(addresses, namespaces, "{name}");
        }
    }
}
