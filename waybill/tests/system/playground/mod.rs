//! The page at `/`, in a real browser that reaches no other host.

use std::path::Path;

use serde_json::{Value, json};
use testkit::eventually;

use crate::browser::{Chromium, Window};
use crate::kit::OneProcess;

const EXECUTE: &str = ".graphiql-execute-button";
/// The editor of the operation in front.
const EDITOR: &str = "document.querySelector('.graphiql-query-editor .CodeMirror').CodeMirror";
/// The editor of its headers.
const HEADERS: &str = "document.querySelectorAll('.graphiql-editor-tool .CodeMirror')[1].CodeMirror";
/// The text of the answer, or of the whole page if there is no answer.
const RESULT: &str = "document.querySelector('.result-window')?.innerText ?? document.body.innerText";

/// Clicks the tab whose label holds `name`.
async fn turns_to(window: &Window, name: &str) {
    let tab = format!(
        "[...document.querySelectorAll('.graphiql-tab-button')].find(tab => tab.innerText.includes('{name}'))"
    );
    window.click(&tab).await;
    // Right after the click the page still has the operation of the tab before.
    window.waits_for(&format!("{EDITOR}.operationName === '{name}'")).await;
}

async fn executes(window: &Window) {
    window.click(&format!("document.querySelector('{EXECUTE}')")).await;
}

async fn shows(window: &Window, parts: &[&str]) -> String {
    eventually(&format!("the page shows {parts:?}"), async || {
        let shown = window.evaluate(RESULT).await;
        let text = shown.as_str().unwrap_or_default().to_owned();
        if parts.iter().all(|part| text.contains(part)) {
            Ok(text)
        } else {
            Err((text, window.page_errors()))
        }
    })
    .await
}

/// Runs the two tabs for a warehouse: first with the page's own token, which doesn't reach beyond one customer, then with
/// the token that the tab's comment names.
async fn reads_as_warehouse(process: &OneProcess, listing: &Window, watching: &Window, id: &str) {
    turns_to(listing, "OrdersToShip").await;
    executes(listing).await;
    shows(listing, &["FORBIDDEN", "orders:all"]).await;

    let text = listing.evaluate(&format!("{EDITOR}.getValue()")).await;
    let command = text.as_str().unwrap().lines().find_map(|line| line.strip_prefix("#   waybill ")).unwrap();
    let arguments: Vec<&str> = command.split(' ').collect();
    let token = process.waybill(&arguments).prints().await;
    let headers = json!({ "Authorization": format!("Bearer {}", token.trim()) }).to_string();
    let signs_in = format!("{HEADERS}.setValue({})", json!(headers));
    listing.evaluate(&signs_in).await;
    executes(listing).await;
    shows(listing, &["nodes", id, "shippingAddress"]).await;

    turns_to(watching, "WatchAllOrders").await;
    watching.evaluate(&signs_in).await;
    executes(watching).await;
    watching.waits_for(&format!("document.querySelector('{EXECUTE}[aria-label^=Stop]')")).await;
    turns_to(listing, "PlaceOrder").await;
    executes(listing).await;
    shows(watching, &["orderUpdated", "CREATED", "PROCESSING", "CUST01"]).await;
}

/// README's picture of the page.
const PICTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/playground.png");
const MAX_PICTURE_BYTES: usize = 300_000;
const PICTURED: &str = "subscription WatchOrders {
  orderUpdated {
    kind
    orderId
    version
    previousStatus
    status
    order {
      totalAmount {
        amount
        currencyCode
      }
      lineItems {
        productName
        quantity
      }
    }
  }
}";

/// Takes the picture of an order's update, which shows the order. `UPDATE_PICTURE=1` writes it to docs/playground.png.
#[expect(clippy::disallowed_methods, reason = "a switch of this test alone, no configuration")]
async fn takes_picture(watching: &Window, ordering: &Window) {
    watching.resize(1280, 800).await;
    watching.waits_for(&format!("document.querySelector('{EXECUTE}')")).await;
    turns_to(watching, "WatchOrders").await;
    watching.evaluate(&format!("{EDITOR}.setValue({})", json!(PICTURED))).await;
    executes(watching).await;
    watching.waits_for(&format!("document.querySelector('{EXECUTE}[aria-label^=Stop]')")).await;
    turns_to(ordering, "PlaceOrder").await;
    executes(ordering).await;
    shows(watching, &["orderUpdated", "CREATED", "PROCESSING", "totalAmount", "lineItems", "productName"])
        .await;
    let picture = watching.screenshot().await;
    if std::env::var_os("UPDATE_PICTURE").is_some() {
        std::fs::create_dir_all(Path::new(PICTURE).parent().unwrap()).unwrap();
        std::fs::write(PICTURE, &picture).unwrap();
    }
    for (name, png) in [("taken", picture), ("committed", std::fs::read(PICTURE).unwrap())] {
        assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"), "the {name} picture is not a PNG");
        assert!(png.len() < MAX_PICTURE_BYTES, "the {name} picture has {} bytes", png.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_mutation_is_run_by_clicking_and_its_update_is_seen() {
    let mut process = OneProcess::new();
    let gateway = process.start().await;
    let chromium = Chromium::start(gateway.address()).await;

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
    reads_as_warehouse(&process, &ordering, &watching, id).await;
    let picture = chromium.opens("/").await;
    takes_picture(&picture, &ordering).await;
    for window in [&watching, &ordering, &picture] {
        assert_eq!(
            window.page_errors(),
            Vec::<Value>::new(),
            "the page ran without an error or a request to another address"
        );
    }
    process.stop().await;
}
