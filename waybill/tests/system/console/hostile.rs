//! Names, addresses and products full of markup.

use serde_json::{Value, json};

use super::kit::ConsoleWindow;
use crate::browser::Chromium;
use crate::kit::{OneProcess, items};

const MARKUP: &str = "<img src=x onerror=window.hacked=1><script>window.hacked=1</script>";

#[tokio::test(flavor = "multi_thread")]
async fn markup_in_names_addresses_and_products_stays_text() {
    let mut process = OneProcess::new();
    let gateway = process.start().await;
    let import = |kind: &'static str, records: Value| {
        let file = process.data_dir().join(format!("{kind}.json"));
        std::fs::write(&file, records.to_string()).unwrap();
        process.waybill(&["import", kind, file.to_str().unwrap()])
    };
    let product =
        json!([{ "id": "<b>P</b>", "name": MARKUP, "description": MARKUP, "price": "1.00", "quantity": 9 }]);
    import("products", product).prints().await;
    let customer = json!([{ "id": "CUST01", "name": MARKUP, "email": "a@b.example", "phone": MARKUP[..20], "shippingAddress": MARKUP }]);
    import("customers", customer).prints().await;
    let shopper = gateway.customer("CUST01");
    let input = json!({ "items": items(&[("<b>P</b>", 1)]), "shippingAddress": MARKUP });
    let id = shopper.creates(input).await["order"]["id"].as_str().unwrap().to_owned();
    let shipped =
        json!({ "id": id, "status": "SHIPPED", "trackingCompany": "<i>", "trackingNumber": "<u>1</u>" });
    assert_eq!(shopper.updates(shipped).await["userErrors"], json!([]));

    let chromium = Chromium::start(gateway.address()).await;
    let window = ConsoleWindow::open(&chromium, "/console/shop", "Customer CUST01").await;
    let order = format!("/console/orders/{id}");
    for (path, part) in [("/console/shop", "main"), ("/console/orders", ".rows"), (&order, ".address")] {
        window.0.goes_to(path).await;
        window.sees(part, MARKUP).await;
        let elements =
            window.0.evaluate("document.querySelectorAll('#app :is(img, script, b, i, u)').length").await;
        assert_eq!(
            (elements, window.0.evaluate("window.hacked ?? null").await),
            (json!(0), Value::Null),
            "{path}"
        );
        assert_eq!(window.faults(), Vec::<Value>::new());
    }
    window.sees("main", "<i> <u>1</u>").await;
    process.stop().await;
}
