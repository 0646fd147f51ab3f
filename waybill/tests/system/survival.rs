//! What the system in one process keeps over a restart.

use futures::future::join_all;
use serde_json::{Value, json};
use testkit::eventually;

use crate::kit::{OneProcess, items, waybill};

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_orders_stock_and_cursors() {
    let mut process = OneProcess::new();
    let gateway = process.start().await;
    let customer = gateway.customer("CUST01");
    let order = customer.has_ordered(&[("PROD01", 3)]).await;
    let stock = customer.looks_at("PROD01").await;
    process.stop().await;

    let gateway = process.start().await;
    let customer = gateway.customer("CUST01");
    assert_eq!(customer.reads(order["id"].as_str().unwrap()).await, order);
    assert_eq!(customer.looks_at("PROD01").await, stock, "nothing is seeded twice");
    let cursor = order["cursor"].as_str().unwrap();
    let mut updates = customer.subscribes_to(&format!("(after: \"{cursor}\")")).await;
    customer.cancels(json!({ "id": order["id"] })).await;
    assert_eq!(updates.next().await["status"], "CANCELLED");
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_nothing_that_was_accepted() {
    const ROUNDS: usize = 3;
    const ORDERS: usize = 40;
    let mut process = OneProcess::new();
    let mut accepted: Vec<Value> = Vec::new();
    for round in 0..ROUNDS {
        let gateway = process.start().await;
        let customer = gateway.customer("CUST01");
        let placing = (0..ORDERS).map(async |number| {
            let key = format!("{round}-{number}");
            let input = json!({ "items": items(&[("PROD02", 1)]), "idempotencyKey": key });
            customer.creates_without_waiting(input).await["order"]["id"].clone()
        });
        accepted.extend(join_all(placing).await);
        process.crash().await;
    }
    assert!(accepted.iter().all(Value::is_string), "{accepted:?}");

    let gateway = process.start().await;
    let customer = gateway.customer("CUST01");
    for id in &accepted {
        customer.sees_status(id.as_str().unwrap(), "PROCESSING").await;
    }
    let sold = i64::try_from(accepted.len()).unwrap();
    let stock = eventually("every order holds its stock", async || {
        let stock = process.stock_tables().stock_of("PROD02").await;
        if stock.held == sold { Ok(stock) } else { Err(stock) }
    })
    .await;
    assert_eq!((stock.reserved, stock.ledger_reserved), (sold, sold), "{stock:?}");
    let key = json!({ "items": items(&[("PROD02", 1)]), "idempotencyKey": "0-0" });
    assert_eq!(customer.creates(key).await["replayed"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_generated_secret_is_valid_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().to_str().unwrap();
    let up = waybill(&["up"]).with("DATA_DIR", data_dir).with("PORT", "0").with("ADMIN_PORT", "0");
    let process = up.start();
    process.line("Waybill is up").await.unwrap();
    assert!(process.terminate().await.unwrap().success());
    let token = waybill(&["token"]).with("DATA_DIR", data_dir).prints().await;

    let process = up.start();
    let line = process.line("  GraphQL").await.unwrap();
    let address = line.split("://").nth(1).unwrap().trim_end_matches("/graphql").to_owned();
    let customer = crate::kit::Gateway::at(&address).bearer(token.trim());
    assert_eq!(customer.asks("{ me { id } }", json!({})).await["id"], "CUST01");
}
