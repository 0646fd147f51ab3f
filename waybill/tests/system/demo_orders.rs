//! The orders that an empty shop of `waybill up` begins with.

use serde_json::{Value, json};

use crate::kit::{Gateway, OneProcess, Token, items};

/// Status and address of all orders, newest first.
async fn orders(gateway: &Gateway) -> Vec<Value> {
    let operator = gateway.bearer(&Token::with_scopes("OPERATOR", "orders:read orders:all").sign());
    let orders = "{ orders(allCustomers: true, first: 100) { nodes { id status version shippingAddress trackingNumber } } }";
    operator.asks(orders, json!({})).await["nodes"].as_array().unwrap().clone()
}

fn statuses(orders: &[Value]) -> Vec<&str> {
    orders.iter().map(|order| order["status"].as_str().unwrap()).collect()
}

const PLACED: [&str; 7] =
    ["PROCESSING", "PROCESSING", "SHIPPED", "REJECTED", "SHIPPED", "CANCELLED", "DELIVERED"];

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_shop_gets_them_once_marked_as_demo_data() {
    let mut process = OneProcess::new().with("SEED", "demo");
    let gateway = process.start().await;
    let placed = orders(&gateway).await;
    assert_eq!(statuses(&placed), PLACED);
    for order in &placed {
        assert!(order["shippingAddress"].as_str().unwrap().starts_with("[demo] "), "{order}");
    }

    // What is changed or deleted stays so after a restart.
    let newest = json!({ "id": placed[0]["id"] });
    assert_eq!(gateway.customer("CUST01").deletes(newest).await["userErrors"], json!([]));
    let second = json!({ "id": placed[1]["id"] });
    assert_eq!(gateway.customer("CUST02").cancels(second).await["userErrors"], json!([]));
    let before = orders(&gateway).await;
    process.crash().await;
    let gateway = process.start().await;
    assert_eq!(orders(&gateway).await, before);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_was_cut_off_is_finished_and_a_shop_with_orders_gets_none() {
    let mut process = OneProcess::new();
    let gateway = process.start().await;
    let first = json!({
        "items": items(&[("PROD01", 2), ("PROD05", 1)]),
        "shippingAddress": "[demo] 1 Harbour Street, Portland",
        "idempotencyKey": "demo-1",
    });
    let first = gateway.customer("CUST01").creates(first).await["order"]["id"].clone();
    process.stop().await;
    let mut process = process.with("SEED", "demo");
    let gateway = process.start().await;
    let placed = orders(&gateway).await;
    assert_eq!(statuses(&placed), PLACED);
    assert_eq!(placed.last().unwrap()["id"], first);
    process.stop().await;

    let mut process = OneProcess::new();
    let gateway = process.start().await;
    gateway.customer("CUST01").has_ordered(&[("PROD01", 1)]).await;
    process.stop().await;
    let mut process = process.with("SEED", "demo");
    let gateway = process.start().await;
    assert_eq!(statuses(&orders(&gateway).await), ["PROCESSING"]);
    process.stop().await;
}
