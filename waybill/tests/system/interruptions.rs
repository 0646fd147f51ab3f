//! A service is away, and comes back.

use serde_json::{Value, json};

use crate::kit::FourProcesses;

#[tokio::test(flavor = "multi_thread")]
async fn an_order_waits_for_inventory_and_goes_on_when_it_is_back() {
    let mut processes = FourProcesses::new().await;
    let gateway = processes.start().await;
    let customer = gateway.customer("CUST01");
    let mut updates = customer.subscribes().await;
    processes.stop_program("inventory-service").await;

    let order = customer.places_order(&[("PROD01", 2)]).await;
    assert_eq!(order["status"], "PENDING", "{order:#}");
    let id = order["id"].as_str().unwrap();
    let created = updates.next().await;
    assert_eq!((&created["kind"], &created["status"]), (&json!("CREATED"), &json!("PENDING")), "{created:#}");

    processes.start_program("inventory-service").await;
    let processing = customer.sees_status(id, "PROCESSING").await;
    assert!(processing["totalAmount"].is_object(), "{processing:#}");
    let update = updates.next().await;
    assert_eq!(
        (&update["status"], &update["previousStatus"]),
        (&json!("PROCESSING"), &json!("PENDING")),
        "{update:#}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_accepted_while_order_service_is_away() {
    let mut processes = FourProcesses::new().await;
    let gateway = processes.start().await;
    let customer = gateway.customer("CUST01");
    processes.stop_program("order-service").await;

    let order = customer.places_order(&[("PROD01", 1)]).await;
    assert_eq!((&order["status"], &order["version"]), (&json!("PENDING"), &json!(0)), "{order:#}");
    let read =
        customer.sends("query($id: ID!) { order(id: $id) { id } }", json!({ "id": order["id"] })).await;
    assert!(matches!(read.code(), Some("SERVICE_UNAVAILABLE" | "DEADLINE_EXCEEDED")), "{:#}", read.body);
    assert_eq!(read.body["errors"][0]["extensions"]["retryable"], true);

    processes.start_program("order-service").await;
    customer.sees_processing_despite_faults(order["id"].as_str().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_customer_service_orders_come_with_everything_but_the_customer() {
    let mut processes = FourProcesses::new().await;
    let gateway = processes.start().await;
    let customer = gateway.customer("CUST01");
    let order = customer.has_ordered(&[("PROD01", 2)]).await;
    processes.stop_program("customer-service").await;

    let query = "{ orders { nodes { id status totalAmount { amount } customer { name } \
                 lineItems { quantity product { name } } history { version } } } }";
    let reply = customer.sends(query, json!({})).await;
    assert_eq!(reply.status, 200);
    let node = &reply.body["data"]["orders"]["nodes"][0];
    assert_eq!(node["id"], order["id"], "{:#}", reply.body);
    assert_eq!((&node["customer"], &node["status"]), (&Value::Null, &json!("PROCESSING")));
    assert_eq!(node["totalAmount"]["amount"], order["totalAmount"]["amount"]);
    assert!(node["lineItems"][0]["product"]["name"].is_string());
    assert_eq!(node["history"], json!([{ "version": 1 }]));
    let errors = reply.body["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1, "{errors:#?}");
    assert_eq!(errors[0]["path"], json!(["orders", "nodes", 0, "customer"]));
    assert!(matches!(reply.code(), Some("SERVICE_UNAVAILABLE" | "DEADLINE_EXCEEDED")), "{errors:#?}");

    processes.start_program("customer-service").await;
    testkit::eventually("the customer is back", async || {
        customer.sends(query, json!({})).await.body["data"]["orders"]["nodes"][0]["customer"]["name"]
            .is_string()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_restarts_loses_no_subscriber_an_update() {
    let mut processes = FourProcesses::new().await;
    let gateway = processes.start().await;
    let customer = gateway.customer("CUST01");
    let mut updates = customer.subscribes().await;
    let order = customer.has_ordered(&[("PROD01", 1)]).await;
    let cursor = updates.next().await["cursor"].as_str().unwrap().to_owned();
    processes.stop_program("gateway").await;
    assert_eq!(updates.close_code().await, 1001);

    processes.start_program("gateway").await;
    customer.updates(json!({ "id": order["id"], "shippingAddress": "2 Quay" })).await;
    let mut resumed = customer.subscribes_to(&format!("(after: \"{cursor}\")")).await;
    assert_eq!(resumed.next().await["order"]["shippingAddress"], "2 Quay");
}
