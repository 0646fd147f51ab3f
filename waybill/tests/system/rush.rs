//! Many concurrent orders for few units.

use futures::future::join_all;
use serde_json::{Value, json};
use testkit::Program;

use crate::kit::{FourProcesses, Gateway, OneProcess, Stock, StockTables};

const BUYERS: usize = 200;
const UNITS: i64 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn fifty_units_go_to_fifty_of_two_hundred_buyers_in_one_process() {
    let mut process = OneProcess::new();
    let gateway = process.start().await;
    let import = |file: &str| process.waybill(&["import", "products", file]);
    rush(&gateway, import, process.stock_tables()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_units_go_to_fifty_of_two_hundred_buyers_in_four_processes() {
    let mut processes = FourProcesses::new().await;
    let gateway = processes.start().await;
    let import = |file: &str| processes.waybill(&["import", "products", file]);
    rush(&gateway, import, processes.stock_tables()).await;
}

async fn rush(gateway: &Gateway, import: impl Fn(&str) -> Program, tables: StockTables) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scarce.csv");
    std::fs::write(&file, "id,name,description,price,quantity\nSCARCE,Concert ticket,Front row,99.00,50\n")
        .unwrap();
    import(file.to_str().unwrap()).prints().await;
    assert_eq!(tables.stock_of("SCARCE").await, Stock::consistent(UNITS, 0));

    let customer = gateway.customer("CUST01");
    let buying = (0..BUYERS).map(async |buyer| {
        let key = format!("buyer-{buyer}");
        let input = json!({ "items": [{ "productId": "SCARCE", "quantity": 1 }], "idempotencyKey": key });
        let accepted = customer.creates(input).await;
        let id = accepted["order"]["id"].as_str().unwrap_or_else(|| panic!("{accepted:#}")).to_owned();
        decided(gateway, &id).await
    });
    let orders = join_all(buying).await;

    let (sold, rejected): (Vec<_>, Vec<_>) = orders.iter().partition(|order| order["status"] == "PROCESSING");
    assert_eq!(sold.len(), usize::try_from(UNITS).unwrap());
    for order in rejected {
        assert_eq!(order["rejection"]["code"], "OUT_OF_STOCK", "{order:#}");
        assert_eq!(order["rejection"]["shortfalls"][0]["requested"], 1);
    }
    assert_eq!(customer.looks_at("SCARCE").await["availableQuantity"], 0);
    assert_eq!(tables.stock_of("SCARCE").await, Stock::consistent(UNITS, UNITS));
}

/// The order once it is no longer PENDING.
async fn decided(gateway: &Gateway, id: &str) -> Value {
    let customer = gateway.customer("CUST01");
    testkit::eventually("the order is decided", async || {
        let order = customer.reads(id).await;
        if order["status"] == "PROCESSING" || order["status"] == "REJECTED" { Ok(order) } else { Err(order) }
    })
    .await
}
