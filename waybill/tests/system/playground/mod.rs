//! The page at `/`, in a real browser.

mod chromium;
mod devtools;
mod npm;

use serde_json::Value;
use testkit::eventually;

use crate::kit::OneProcess;
use chromium::Chromium;
use devtools::Window;

const EXECUTE: &str = ".graphiql-execute-button";
/// The editor of the operation in front.
const EDITOR: &str = "document.querySelector('.graphiql-query-editor .CodeMirror').CodeMirror";
/// What the page shows of the answer; of itself, where it has come to nothing.
const RESULT: &str = "document.querySelector('.result-window')?.innerText ?? document.body.innerText";

/// Clicks the tab whose label holds `name`.
async fn turns_to(window: &Window, name: &str) {
    let tab = format!(
        "[...document.querySelectorAll('.graphiql-tab-button')].find(tab => tab.innerText.includes('{name}'))"
    );
    window.click(&tab).await;
    // Right after the turn the page still goes by the operation of the tab before.
    window.waits_for(&format!("{EDITOR}.operationName === '{name}'")).await;
}

async fn executes(window: &Window) {
    window.click(&format!("document.querySelector('{EXECUTE}')")).await;
}

async fn shows(window: &Window, parts: &[&str]) -> String {
    eventually(&format!("the page shows {parts:?}"), async || {
        let shown = window.evaluate(RESULT).await;
        let text = shown.as_str().unwrap_or_default().to_owned();
        if parts.iter().all(|part| text.contains(part)) { Ok(text) } else { Err((text, window.complaints())) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_mutation_is_run_by_clicking_and_its_update_is_seen() {
    let mut process = OneProcess::new();
    let gateway = process.start().await;
    let files = npm::Files::fetch().await;
    let chromium = Chromium::start(gateway.address(), files).await;

    let watching = chromium.opens("/").await;
    watching.waits_for(&format!("document.querySelector('{EXECUTE}')")).await;
    turns_to(&watching, "WatchOrders").await;
    executes(&watching).await;
    watching.waits_for(&format!("document.querySelector('{EXECUTE}[aria-label^=Stop]')")).await;

    // Turning to another tab ends a running subscription, so the order is placed in a second window.
    let ordering = chromium.opens("/").await;
    ordering.waits_for(&format!("document.querySelector('{EXECUTE}')")).await;
    turns_to(&ordering, "PlaceOrder").await;
    executes(&ordering).await;
    shows(&ordering, &["createOrder", "PROCESSING", "totalAmount"]).await;

    let order = &gateway.customer("CUST01").lists().await[0];
    let id = order["id"].as_str().unwrap();
    shows(&watching, &["orderUpdated", "CREATED", "PROCESSING", id]).await;

    turns_to(&ordering, "MyOrders").await;
    executes(&ordering).await;
    shows(&ordering, &["nodes", id]).await;
    for window in [&watching, &ordering] {
        assert_eq!(
            window.complaints(),
            Vec::<Value>::new(),
            "the page ran without an error or a request elsewhere"
        );
    }
    process.stop().await;
}
