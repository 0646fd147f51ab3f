//! Several copies of each process.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::kit::{FourProcesses, Gateway, OneProcess, Stock, items};

const ORDERS: usize = 30;

/// Places orders at the two gateways in turn, and subscribes at both.
async fn both_gateways_show_the_same(first: &Gateway, second: &Gateway) {
    let mut following =
        [first.customer("CUST01").subscribes().await, second.customer("CUST01").subscribes().await];
    let placing = (0..ORDERS).map(async |number| {
        let gateway = if number % 2 == 0 { first } else { second };
        gateway.customer("CUST01").has_ordered(&[("PROD02", 1)]).await["id"].clone()
    });
    let mut placed: Vec<String> = join_all(placing).await.iter().map(Value::to_string).collect();
    placed.sort();
    for updates in &mut following {
        let received = updates.take(ORDERS).await;
        let mut ids: Vec<String> = received.iter().map(|update| update["orderId"].to_string()).collect();
        ids.sort();
        assert_eq!(ids, placed, "each order's creation is delivered once");
    }
    let key = json!({ "items": items(&[("PROD02", 1)]), "idempotencyKey": "twice" });
    let (one, other) = (first.customer("CUST01"), second.customer("CUST01"));
    let (one, other) = tokio::join!(one.creates(key.clone()), other.creates(key));
    assert_eq!(one["order"]["id"], other["order"]["id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_copies_of_each_process_share_the_work() {
    let mut processes = FourProcesses::new().await;
    let first = processes.start().await;
    let (second, copies) = processes.start_copies().await;
    let before = processes.stock_tables().stock_of("PROD02").await.on_hand;
    both_gateways_show_the_same(&first, &second).await;
    let sold = i64::try_from(ORDERS).unwrap() + 1;
    second.anonymous().sees_available("PROD02", before - sold).await;
    assert_eq!(processes.stock_tables().stock_of("PROD02").await, Stock::consistent(before, sold));
    drop(copies);
    first.customer("CUST01").has_ordered(&[("PROD02", 1)]).await;
    processes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whole_systems_in_one_process_each_share_a_broker_and_a_database() {
    let processes = FourProcesses::new().await;
    let system = || {
        let settings = processes.infrastructure();
        settings.iter().fold(OneProcess::new(), |process, (name, value)| process.with(name, value))
    };
    let (mut first, mut second) = (system(), system());
    both_gateways_show_the_same(&first.start().await, &second.start().await).await;
    assert!(!first.data_dir().join("orders.sqlite").exists(), "nothing is kept in DATA_DIR");
    first.stop().await;
    let left = second.start().await;
    left.customer("CUST01").has_ordered(&[("PROD02", 1)]).await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_and_database_are_replaced_each_by_itself() {
    let processes = FourProcesses::new().await;
    let [rabbitmq, postgres, namespace] = processes.infrastructure();
    let mut over_rabbitmq = OneProcess::new().with(rabbitmq.0, rabbitmq.1).with(namespace.0, namespace.1);
    let mut on_postgres = OneProcess::new().with(postgres.0, postgres.1);
    for process in [&mut over_rabbitmq, &mut on_postgres] {
        let order = process.start().await.customer("CUST01").has_ordered(&[("PROD02", 1)]).await;
        process.stop().await;
        let read = process.start().await.customer("CUST01").reads(order["id"].as_str().unwrap()).await;
        assert_eq!(read, order);
        process.stop().await;
    }
}
