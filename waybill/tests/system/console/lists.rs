//! Long lists, filters in the address bar, and the keyboard.

use serde_json::{Value, json};
use testkit::eventually;

use super::kit::{ConsoleWindow, one};
use crate::browser::Chromium;
use crate::kit::{Gateway, OneProcess};

/// Puts nearly as many orders as a list may have into the page's store, as updates would.
const MANY: &str = "import('/console/files/store.js').then(store => { for (let n = 1; n <= 9990; n += 1) store.merge({ \
    id: `many-${n}`, version: 1, cursor: '', status: 'PROCESSING', customerId: 'CUST01', lineItems: [{ productId: 'PROD01', quantity: n }], \
    createdAt: new Date(Date.now() + n).toISOString(), updatedAt: '2026-01-01T00:00:00Z', totalAmount: null, shippingAddress: '', rejection: null }); })";

async fn filters_are_in_the_address(window: &ConsoleWindow, gateway: &Gateway) {
    let shopper = gateway.customer("CUST01");
    let kept = shopper.has_ordered(&[("PROD01", 1)]).await;
    let other = shopper.has_ordered(&[("PROD02", 1)]).await;
    window.0.goes_to("/console/orders?status=PROCESSING&product=PROD01").await;
    let only = |status: &str| vec![(kept["id"].as_str().unwrap().to_owned(), status.to_owned())];
    let shows = async |expected: &[(String, String)]| {
        eventually("the list is as expected", async || {
            let rows = window.rows().await;
            if rows == expected { Ok(()) } else { Err((rows, window.text("body").await)) }
        })
        .await;
    };
    shows(&only("PROCESSING")).await;
    window.clicks(&one("[data-status=CANCELLED].chip")).await;
    window.clicks(&one("[data-status=PROCESSING].chip")).await;
    let search = "decodeURIComponent(location.search)";
    assert_eq!(window.0.evaluate(search).await, "?status=CANCELLED&product=PROD01");
    shows(&[]).await;
    window.sees("main", "No order matches").await;
    // An order that comes to match appears, and leaves when it no longer does.
    let cancelled = json!({ "id": kept["id"] });
    assert_eq!(shopper.cancels(cancelled.clone()).await["userErrors"], json!([]));
    shows(&only("CANCELLED")).await;
    assert_eq!(shopper.cancels(json!({ "id": other["id"] })).await["userErrors"], json!([]));
    assert_eq!(shopper.deletes(cancelled).await["userErrors"], json!([]));
    shows(&[]).await;
}

/// An order is placed after a page of the list was read and before its answer arrives.
async fn no_order_is_missed_while_a_page_is_read(window: &ConsoleWindow, gateway: &Gateway) {
    window.0.goes_to("/console/shop").await;
    window.is_live().await;
    let holds = "(() => { const send = fetch; window.fetch = async (...request) => { const answer = await send(...request); \
        if (request[1]?.body?.includes('query Orders')) { window.isHeld = true; await new Promise(go => { window.release = go; }); } \
        return answer; }; })()";
    window.0.evaluate(holds).await;
    window.clicks(&one("nav a[href='/console/orders']")).await;
    eventually("the answer is held back", async || window.0.evaluate("window.isHeld ?? false").await == true)
        .await;
    let id =
        gateway.customer("CUST01").has_ordered(&[("PROD03", 1)]).await["id"].as_str().unwrap().to_owned();
    let known =
        format!("import('/console/files/store.js').then(store => store.get({})?.status ?? null)", json!(id));
    eventually("the update is received", async || window.0.evaluate(&known).await == "PROCESSING").await;
    window.0.evaluate("window.release()").await;
    window.sees(&format!(".rows [data-id='{id}']"), "Walnut").await;
}

async fn ten_thousand_rows_scroll(window: &ConsoleWindow) {
    window.0.goes_to("/console/orders").await;
    window.is_live().await;
    window.0.evaluate(MANY).await;
    window.sees(".rows", "9990 × PROD01").await;
    let in_page = "document.querySelectorAll('.rows .row').length";
    let is_few = |rows: Value| (5..80).contains(&rows.as_u64().unwrap());
    assert!(is_few(window.0.evaluate(in_page).await));
    window.0.evaluate("scrollTo(0, document.documentElement.scrollHeight)").await;
    window.0.waits_for(&one("[data-id=many-1]")).await;
    assert!(is_few(window.0.evaluate(in_page).await));
    // A new order comes above; what is in sight stays in its place.
    let place = "document.querySelector('[data-id=many-12]').getBoundingClientRect().top";
    let before = window.0.evaluate(place).await;
    let one_more =
        MANY.replace("n <= 9990", "n <= 1").replace("many-${n}", "one-more").replace("+ n)", "+ 99999)");
    window.0.evaluate(&one_more).await;
    eventually("the list is longer", async || {
        window.0.evaluate("document.querySelector('[data-id=many-12]').ariaRowIndex").await == "9981"
    })
    .await;
    assert_eq!(window.0.evaluate(place).await, before);
}

async fn keys_move_and_open(window: &ConsoleWindow) {
    window.0.evaluate("scrollTo(0, 0)").await;
    window.sees(".rows", "9990 × PROD01").await;
    window.0.evaluate("document.activeElement.blur()").await;
    for key in ["j", "j", "j", "k"] {
        window.0.presses(key).await;
    }
    let focused = "document.activeElement.closest('.row')?.dataset.id ?? null";
    eventually("the second row has the focus", async || window.0.evaluate(focused).await == "many-9990")
        .await;
    window.0.presses("/").await;
    window.0.types("PROD07").await;
    eventually("the search is in the address", async || {
        window.0.evaluate("location.search").await.as_str().unwrap().contains("PROD07")
    })
    .await;
    window.0.presses("Escape").await;
    window.0.presses("Escape").await;
    eventually("no search is left", async || window.0.evaluate("location.search").await == "").await;
    window.sees(".rows", "Walnut").await;
    window.0.evaluate("document.activeElement.blur()").await;
    window.0.presses("j").await;
    window.0.presses("Enter").await;
    window.sees("h1", "Order …").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_filtered_by_the_address_scroll_at_any_length_and_obey_keys() {
    let mut process = OneProcess::new();
    let gateway = process.start().await;
    let chromium = Chromium::start(gateway.address()).await;
    let window = ConsoleWindow::open(&chromium, "/console/orders", "Customer CUST01").await;
    filters_are_in_the_address(&window, &gateway).await;
    no_order_is_missed_while_a_page_is_read(&window, &gateway).await;
    ten_thousand_rows_scroll(&window).await;
    keys_move_and_open(&window).await;
    assert_eq!(window.faults(), Vec::<Value>::new());
    process.stop().await;
}
