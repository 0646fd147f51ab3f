//! Signing in by a page of the operator's.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::{Router, extract::State, response::Html, routing::get};
use serde_json::{Value, json};
use testkit::eventually;
use tokio::net::TcpListener;

use super::kit::{ConsoleWindow, button, one};
use crate::browser::Chromium;
use crate::kit::{OneProcess, Token};

/// How long the first token is good; long enough to be seen at work on a busy machine.
const FIRST_LIFETIME: Duration = Duration::from_secs(12);

/// The operator's page, which hands over a token that soon ends, and then one that doesn't.
#[derive(Clone, Default)]
struct SignInPage {
    console: Arc<OnceLock<String>>,
    opened: Arc<AtomicUsize>,
}

impl SignInPage {
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/sign-in", get(Self::page)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}/sign-in")
    }

    #[expect(clippy::disallowed_methods, reason = "the token is a real one, with a real end")]
    async fn page(State(page): State<Self>) -> Html<String> {
        let mut token = Token::of("CUST01");
        if page.opened.fetch_add(1, Ordering::SeqCst) == 0 {
            let ends = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + FIRST_LIFETIME;
            token = token.claiming("exp", ends.as_secs());
        }
        let message = json!({ "waybillToken": token.sign() });
        Html(format!("<script>opener.postMessage({message}, {})</script>", json!(page.console.get())))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_page_hands_tokens_over_which_are_kept_in_memory_alone() {
    let page = SignInPage::default();
    let mut process = OneProcess::new().with("CONSOLE", &page.start().await);
    let gateway = process.start().await;
    page.console.set(format!("http://{}", gateway.address())).unwrap();
    gateway.customer("CUST01").has_ordered(&[("PROD01", 1)]).await;
    let chromium = Chromium::start(gateway.address()).await;
    let window = ConsoleWindow(chromium.opens("/console/orders").await);
    window.sees("main", "Sign in").await;
    // A message from elsewhere than the page that was opened is no sign-in.
    let forged =
        format!("window.postMessage({{ waybillToken: {} }}, '*')", json!(Token::of("CUST02").sign()));
    window.0.evaluate(&forged).await;
    assert_eq!(page.opened.load(Ordering::SeqCst), 0);
    window.clicks(&button("Sign in")).await;
    window.is_live().await;
    assert_eq!(window.text("header > :last-child").await, "CUST01");
    window.sees(".rows", "processing").await;
    let kept = "JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href])";
    let kept = window.0.evaluate(kept).await;
    assert!(!kept.as_str().unwrap().contains("eyJ"), "{kept}");

    window.sees(".banner", "Your sign-in has ended").await;
    window.sees(".rows", "processing").await;
    let placed = gateway.customer("CUST01").has_ordered(&[("PROD02", 2)]).await;
    window.clicks(&button("Sign in")).await;
    window.is_live().await;
    let row = format!(".rows [data-id='{}']", placed["id"].as_str().unwrap());
    window.sees(&row, "processing").await;
    eventually("the banner is gone", async || window.text(".banner").await.is_empty()).await;
    assert!(window.0.evaluate(&format!("!!{}", one("header select"))).await == false);
    assert_eq!(window.faults(), Vec::<Value>::new());
    process.stop().await;
}
