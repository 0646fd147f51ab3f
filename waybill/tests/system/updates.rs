//! Subscriptions that resume without missing or repeating an update.

use serde_json::{Value, json};

use crate::kit::{Customer, Gateway, on_both};

on_both!(
    an_orders_own_cursor_is_a_place_to_start_from,
    a_dropped_socket_resumes_with_exactly_what_it_missed,
    an_order_that_does_not_exist_yet_can_be_followed,
    a_foreign_or_broken_cursor_is_refused
);

/// Changes the address, which is one update.
async fn moves(customer: &Customer, id: &Value, address: &str) {
    let changed = customer.updates(json!({ "id": id, "shippingAddress": address })).await;
    assert_eq!(changed["userErrors"], json!([]), "{changed:#}");
}

fn addresses(updates: &[Value]) -> Vec<&str> {
    updates.iter().map(|update| update["order"]["shippingAddress"].as_str().unwrap()).collect()
}

async fn an_orders_own_cursor_is_a_place_to_start_from(gateway: Gateway) {
    let customer = gateway.customer("CUST01");
    let input = json!({ "items": [{ "productId": "PROD01", "quantity": 1 }] });
    let accepted = customer.creates_without_waiting(input).await["order"].clone();
    let cursor = accepted["cursor"].as_str().unwrap();
    let id = &accepted["id"];
    customer.sees_status(id.as_str().unwrap(), "PROCESSING").await;
    moves(&customer, id, "1 Quay").await;

    let mut updates = customer.subscribes_to(&format!("(orderId: {id}, after: \"{cursor}\")")).await;
    let seen = updates.take(2).await;
    assert_eq!(seen[0]["kind"], "CREATED", "{seen:#?}");
    assert_eq!(seen[1]["kind"], "DETAILS_CHANGED");
    moves(&customer, id, "2 Quay").await;
    let live = updates.next().await;
    assert_eq!((&live["version"], &live["order"]["shippingAddress"]), (&json!(3), &json!("2 Quay")));
}

async fn a_dropped_socket_resumes_with_exactly_what_it_missed(gateway: Gateway) {
    let customer = gateway.customer("CUST01");
    let order = customer.has_ordered(&[("PROD01", 1)]).await;
    let id = &order["id"];
    let mut updates = customer.subscribes().await;
    moves(&customer, id, "1 Quay").await;
    // A subscription that starts right after an order was placed may still receive its CREATED update.
    let last_seen =
        updates.version(1 + order["version"].as_u64().unwrap()).await["cursor"].as_str().unwrap().to_owned();
    updates.loses_its_connection();

    for address in ["2 Quay", "3 Quay", "4 Quay"] {
        moves(&customer, id, address).await;
    }
    let mut resumed = customer.subscribes_to(&format!("(after: \"{last_seen}\")")).await;
    assert_eq!(addresses(&resumed.take(3).await), ["2 Quay", "3 Quay", "4 Quay"]);
    // The next update is that of the next change: none was missed, and none is repeated.
    moves(&customer, id, "5 Quay").await;
    assert_eq!(addresses(&[resumed.next().await]), ["5 Quay"]);
}

async fn an_order_that_does_not_exist_yet_can_be_followed(gateway: Gateway) {
    let customer = gateway.customer("CUST01");
    let input = json!({ "items": [{ "productId": "PROD01", "quantity": 1 }], "idempotencyKey": "soon" });
    // The idempotency key determines the order's id before the order exists.
    let id = schema::ids::OrderId::for_idempotency_key(&"CUST01".parse().unwrap(), "soon").to_string();
    let mut updates = customer.subscribes_to(&format!("(orderId: \"{id}\")")).await;
    customer.has_ordered(&[("PROD01", 1)]).await;
    customer.creates(input).await;
    let update = updates.next().await;
    assert_eq!((&update["orderId"], &update["kind"]), (&json!(id), &json!("CREATED")), "{update:#}");
}

async fn a_foreign_or_broken_cursor_is_refused(gateway: Gateway) {
    let theirs = gateway.customer("CUST02").has_ordered(&[("PROD01", 1)]).await;
    let foreign = theirs["cursor"].as_str().unwrap();
    let customer = gateway.customer("CUST01");
    for cursor in [foreign, "", "AAAA", "not a cursor", &"A".repeat(2_000)] {
        let mut updates = customer.subscribes_to(&format!("(after: \"{cursor}\")")).await;
        assert_eq!(updates.code().await, "CURSOR_INVALID", "{cursor:?}");
    }
}
