//! Several copies of everything, in whatever shape.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::kit::{Books, FourProcesses, OneProcess, Shop, items};

const ORDERS: usize = 30;

/// Places orders at one gateway and the other in turn, and follows them at both.
async fn both_gateways_show_the_same(first: &Shop, second: &Shop) {
    let mut following =
        [first.customer("CUST01").subscribes().await, second.customer("CUST01").subscribes().await];
    let placing = (0..ORDERS).map(async |number| {
        let shop = if number % 2 == 0 { first } else { second };
        shop.customer("CUST01").has_ordered(&[("PROD02", 1)]).await["id"].clone()
    });
    let mut placed: Vec<String> = join_all(placing).await.iter().map(Value::to_string).collect();
    placed.sort();
    for updates in &mut following {
        let told = updates.take(ORDERS).await;
        let mut ids: Vec<String> = told.iter().map(|update| update["orderId"].to_string()).collect();
        ids.sort();
        assert_eq!(ids, placed, "each order's beginning is told once");
    }
    let key = json!({ "items": items(&[("PROD02", 1)]), "idempotencyKey": "twice" });
    let (one, other) = (first.customer("CUST01"), second.customer("CUST01"));
    let (one, other) = tokio::join!(one.creates(key.clone()), other.creates(key));
    assert_eq!(one["order"]["id"], other["order"]["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_copies_of_each_process_share_the_work() {
    let mut processes = FourProcesses::new().await;
    let first = processes.open().await;
    let (second, copies) = processes.open_copies().await;
    let before = processes.stock_book().on("PROD02").await.on_hand;
    both_gateways_show_the_same(&first, &second).await;
    let sold = i64::try_from(ORDERS).unwrap() + 1;
    second.stranger().sees_available("PROD02", before - sold).await;
    assert_eq!(processes.stock_book().on("PROD02").await, Books::agreeing_on(before, sold));
    drop(copies);
    first.customer("CUST01").has_ordered(&[("PROD02", 1)]).await;
    processes.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_shops_in_one_process_each_share_a_broker_and_a_database() {
    let processes = FourProcesses::new().await;
    let shop =
        || processes.backing().iter().fold(OneProcess::new(), |shop, (name, value)| shop.with(name, value));
    let (mut first, mut second) = (shop(), shop());
    both_gateways_show_the_same(&first.open().await, &second.open().await).await;
    assert!(!first.data_dir().join("orders.sqlite").exists(), "nothing is kept in DATA_DIR");
    first.close().await;
    let left = second.open().await;
    left.customer("CUST01").has_ordered(&[("PROD02", 1)]).await;
    second.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_may_stand_on_a_broker_of_others_and_files_of_its_own() {
    let processes = FourProcesses::new().await;
    let [rabbitmq, postgres, namespace] = processes.backing();
    let mut over_rabbitmq = OneProcess::new().with(rabbitmq.0, rabbitmq.1).with(namespace.0, namespace.1);
    let mut on_postgres = OneProcess::new().with(postgres.0, postgres.1);
    for shop in [&mut over_rabbitmq, &mut on_postgres] {
        let order = shop.open().await.customer("CUST01").has_ordered(&[("PROD02", 1)]).await;
        shop.close().await;
        let read = shop.open().await.customer("CUST01").reads(order["id"].as_str().unwrap()).await;
        assert_eq!(read, order);
        shop.close().await;
    }
}
