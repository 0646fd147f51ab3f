//! Orders in the windows of a customer and of the warehouse.

use serde_json::{Value, json};
use testkit::eventually;

use super::kit::{ConsoleWindow, button, one};
use crate::browser::Chromium;
use crate::kit::{Customer, FourProcesses, Gateway, OneProcess, Token};

const ADD_FIRST: &str = "document.querySelector('[data-id=PROD01] button')";

/// What the API lists for the warehouse, newest first.
async fn listed(warehouse: &Customer) -> Vec<(String, String)> {
    let orders =
        warehouse.asks("{ orders(allCustomers: true, first: 100) { nodes { id status } } }", json!({})).await;
    let nodes = orders["nodes"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    nodes.iter().map(|node| (text(&node["id"]), text(&node["status"]))).collect()
}

fn warehouse_of(gateway: &Gateway) -> Customer {
    gateway.bearer(&Token::with_scopes("WAREHOUSE", "orders:read orders:fulfil orders:all").sign())
}

/// Places an order in the customer's window and ships it in the warehouse's; returns both windows.
async fn order_travels(chromium: &Chromium, gateway: &Gateway) -> (ConsoleWindow, ConsoleWindow) {
    let warehouse = ConsoleWindow::open(chromium, "/console/orders", "Warehouse").await;
    let customer = ConsoleWindow::open(chromium, "/console/shop", "Customer CUST01").await;
    let stock = customer.text("[data-id=PROD01] .stock").await;
    customer.clicks(ADD_FIRST).await;
    customer.sees(".basket", "Enamel mug").await;
    // A double click orders once.
    customer
        .0
        .evaluate(&format!(
            "(() => {{ const place = {}; place.click(); place.click(); }})()",
            button("Place order")
        ))
        .await;
    customer.sees(".basket .done", "order …").await;
    customer.sees(".latest", "processing").await;
    let orders = gateway.customer("CUST01").lists().await;
    assert_eq!(orders.len(), 1, "{orders:#?}");
    let id = orders[0]["id"].as_str().unwrap();
    eventually("the stock on the page changes", async || {
        customer.text("[data-id=PROD01] .stock").await != stock
    })
    .await;

    let row = format!(".rows [data-id='{id}']");
    warehouse.sees(&row, "processing").await;
    warehouse.clicks(&one(&format!("{row} a"))).await;
    warehouse.clicks(&button("Ship")).await;
    warehouse.fills("[name=trackingCompany]", "Parcel Co").await;
    warehouse.fills("[name=trackingNumber]", "PC123").await;
    warehouse.clicks(&one("form.box [type=submit]")).await;
    warehouse.sees(".timeline", "→ shipped").await;
    warehouse.sees(".actions", "Shipped.").await;
    customer.sees(".latest", "shipped").await;
    customer.clicks(&one(".latest a")).await;
    customer.sees("main", "Parcel Co PC123").await;
    customer.sees(".timeline", "→ shipped").await;
    warehouse.clicks(&one("a[href='/console/orders']")).await;
    warehouse.sees(&row, "shipped").await;
    (customer, warehouse)
}

/// Changes orders right after the gateway is back, before the windows are connected again, and waits until both are exact.
async fn catch_up(customer: &ConsoleWindow, warehouse: &ConsoleWindow, gateway: &Gateway) {
    let shopper = gateway.customer("CUST01");
    let shipped = shopper.lists().await[0].clone();
    let delivered = json!({ "id": shipped["id"], "status": "DELIVERED" });
    assert_eq!(shopper.updates(delivered).await["userErrors"], json!([]));
    for quantity in 1..=3 {
        shopper.has_ordered(&[("PROD02", quantity)]).await;
    }
    let newest = shopper.lists().await[0]["id"].clone();
    assert_eq!(shopper.cancels(json!({ "id": newest })).await["userErrors"], json!([]));
    assert_eq!(shopper.deletes(json!({ "id": newest })).await["userErrors"], json!([]));

    customer.sees(".timeline", "→ delivered").await;
    let expected = listed(&warehouse_of(gateway)).await;
    assert_eq!(expected.len(), 3);
    eventually("the warehouse's window is exact", async || {
        let rows = warehouse.rows().await;
        if rows == expected { Ok(()) } else { Err((rows, warehouse.text("body").await)) }
    })
    .await;
    for window in [customer, warehouse] {
        window.is_live().await;
        assert_eq!(window.faults(), Vec::<Value>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_one_process_an_order_travels_between_windows_that_are_exact_after_a_restart() {
    let mut process = OneProcess::new().at_one_port();
    let gateway = process.start().await;
    let chromium = Chromium::start(gateway.address()).await;
    let (customer, warehouse) = order_travels(&chromium, &gateway).await;
    process.crash().await;
    for window in [&customer, &warehouse] {
        window.sees("header .link", "reconnecting").await;
        window.sees(".banner", "may be out of date").await;
    }
    process.start().await;
    catch_up(&customer, &warehouse, &gateway).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_four_processes_an_order_travels_between_windows_that_are_exact_after_a_restart() {
    let mut processes = FourProcesses::new().await;
    let gateway = processes.start().await;
    let chromium = Chromium::start(gateway.address()).await;
    let (customer, warehouse) = order_travels(&chromium, &gateway).await;
    processes.stop_program("gateway").await;
    for window in [&customer, &warehouse] {
        window.sees("header .link", "reconnecting").await;
    }
    processes.start_program("gateway").await;
    catch_up(&customer, &warehouse, &gateway).await;
    processes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_in_another_window_is_shown_and_not_overwritten() {
    let mut process = OneProcess::new();
    let gateway = process.start().await;
    let shopper = gateway.customer("CUST01");
    let order = shopper.has_ordered(&[("PROD01", 1)]).await;
    let id = order["id"].as_str().unwrap();
    let path = format!("/console/orders/{id}");
    let chromium = Chromium::start(gateway.address()).await;
    let mut windows = Vec::new();
    for address in ["1 First Street", "2 Second Street"] {
        let window = ConsoleWindow::open(&chromium, &path, "Customer CUST01").await;
        window.clicks(&button("Change address")).await;
        window.fills("textarea", address).await;
        windows.push(window);
    }
    let (first, second) = (&windows[0], &windows[1]);
    let submit = one("form.box [type=submit]");
    first.clicks(&submit).await;
    first.sees(".actions", "Address changed.").await;
    second.sees(".conflict", "Changed in the meantime, to version 2").await;
    second.sees(".conflict ins", "1 First Street").await;
    assert_eq!(second.0.evaluate(&format!("{submit}.disabled")).await, true);
    assert_eq!(shopper.reads(id).await["shippingAddress"], "1 First Street");

    second.clicks(&button("Go on with version 2")).await;
    let kept = second.0.evaluate("document.querySelector('textarea').value").await;
    assert_eq!(kept, "2 Second Street", "what was written is kept");
    second.clicks(&submit).await;
    second.sees(".actions", "Address changed.").await;
    first.sees(".address", "2 Second Street").await;
    assert_eq!(shopper.reads(id).await["version"], 3);

    first.clicks(&button("Cancel order")).await;
    let shipped = json!({ "id": id, "status": "SHIPPED", "trackingCompany": "P", "trackingNumber": "1" });
    assert_eq!(shopper.updates(shipped).await["userErrors"], json!([]));
    first.sees(".conflict", "“Cancel order” is no longer possible").await;
    assert_eq!(first.0.evaluate(&format!("{submit}.disabled")).await, true);
    for window in windows {
        assert_eq!(window.faults(), Vec::<Value>::new());
    }
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_answer_is_lost_is_placed_once() {
    let mut process = OneProcess::new();
    let gateway = process.start().await;
    let chromium = Chromium::start(gateway.address()).await;
    let customer = ConsoleWindow::open(&chromium, "/console/shop", "Customer CUST01").await;
    customer.clicks(ADD_FIRST).await;
    let loses = "(() => { const send = fetch; window.fetch = async (...request) => { const answer = await send(...request); \
        if (!request[1]?.body?.includes('createOrder')) return answer; window.fetch = send; throw new TypeError('lost'); }; })()";
    customer.0.evaluate(loses).await;
    customer.clicks(&button("Place order")).await;
    customer.sees(".basket .done", "order …").await;
    assert_eq!(gateway.customer("CUST01").lists().await.len(), 1);

    // The key is kept with the basket until its order is decided, across a reload.
    customer.clicks(ADD_FIRST).await;
    let never = "window.fetch = async (...request) => { throw new TypeError('away'); }";
    customer.0.evaluate(never).await;
    customer.clicks(&button("Place order")).await;
    customer.sees(".basket", "Placing…").await;
    let key = "JSON.parse(sessionStorage.getItem('waybill-basket-CUST01')).key";
    let before = customer.0.evaluate(key).await;
    assert!(before.is_string());
    customer.0.evaluate("location.reload()").await;
    customer.sees(".basket", "It isn’t known whether the order was placed").await;
    assert_eq!(customer.0.evaluate(key).await, before);
    customer.clicks(&button("Ask again")).await;
    customer.sees(".basket .done", "order …").await;
    assert_eq!(gateway.customer("CUST01").lists().await.len(), 2);
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_network_a_window_says_so_and_afterwards_it_is_exact() {
    let mut process = OneProcess::new();
    let gateway = process.start().await;
    let shopper = gateway.customer("CUST01");
    let order = shopper.has_ordered(&[("PROD01", 1)]).await;
    let row = format!(".rows [data-id='{}']", order["id"].as_str().unwrap());
    let chromium = Chromium::start(gateway.address()).await;
    let window = ConsoleWindow::open(&chromium, "/console/orders", "Customer CUST01").await;
    window.sees(&row, "processing").await;
    window.0.is_offline(true).await;
    window.sees("header .link", "reconnecting").await;
    window.sees(".banner", "the network is gone").await;
    assert_eq!(shopper.cancels(json!({ "id": order["id"] })).await["userErrors"], json!([]));
    let other = shopper.has_ordered(&[("PROD02", 1)]).await;
    window.0.is_offline(false).await;
    window.sees(&row, "cancelled").await;
    window.is_live().await;
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let expected =
        [(text(&other["id"]), "PROCESSING".to_owned()), (text(&order["id"]), "CANCELLED".to_owned())];
    assert_eq!(window.rows().await, expected);
    assert_eq!(window.text(".banner").await, "");
    process.stop().await;
}
