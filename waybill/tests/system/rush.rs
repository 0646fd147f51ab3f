//! Many buyers for few units.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::kit::{Books, FourProcesses, OneProcess, Program, Shop, StockBook};

const BUYERS: usize = 200;
const UNITS: i64 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn fifty_units_go_to_fifty_of_two_hundred_buyers_in_one_process() {
    let mut shop = OneProcess::new();
    let open = shop.open().await;
    let import = |file: &str| shop.waybill(["import", "products", file]);
    rush(&open, import, shop.stock_book()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_units_go_to_fifty_of_two_hundred_buyers_in_four_processes() {
    let mut shop = FourProcesses::new().await;
    let open = shop.open().await;
    let import = |file: &str| shop.waybill(["import", "products", file]);
    rush(&open, import, shop.stock_book()).await;
}

async fn rush(shop: &Shop, import: impl Fn(&str) -> Program, books: StockBook) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("scarce.csv");
    std::fs::write(&file, "id,name,description,price,quantity\nSCARCE,Concert ticket,Front row,99.00,50\n")
        .unwrap();
    import(file.to_str().unwrap()).prints().await;
    assert_eq!(books.on("SCARCE").await, Books::agreeing_on(UNITS, 0));

    let customer = shop.customer("CUST01");
    let buying = (0..BUYERS).map(async |buyer| {
        let key = format!("buyer-{buyer}");
        let input = json!({ "items": [{ "productId": "SCARCE", "quantity": 1 }], "idempotencyKey": key });
        let accepted = customer.creates(input).await;
        let id = accepted["order"]["id"].as_str().unwrap_or_else(|| panic!("{accepted:#}")).to_owned();
        decided(shop, &id).await
    });
    let orders = join_all(buying).await;

    let (sold, rejected): (Vec<_>, Vec<_>) = orders.iter().partition(|order| order["status"] == "PROCESSING");
    assert_eq!(sold.len(), usize::try_from(UNITS).unwrap());
    for order in rejected {
        assert_eq!(order["rejection"]["code"], "OUT_OF_STOCK", "{order:#}");
        assert_eq!(order["rejection"]["shortfalls"][0]["requested"], 1);
    }
    assert_eq!(customer.looks_at("SCARCE").await["availableQuantity"], 0);
    assert_eq!(books.on("SCARCE").await, Books::agreeing_on(UNITS, UNITS));
}

/// The order once it is no longer PENDING.
async fn decided(shop: &Shop, id: &str) -> Value {
    let customer = shop.customer("CUST01");
    testkit::eventually("the order is decided", async || {
        let order = customer.reads(id).await;
        if order["status"] == "PROCESSING" || order["status"] == "REJECTED" { Ok(order) } else { Err(order) }
    })
    .await
}
