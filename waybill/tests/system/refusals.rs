//! Refused changes and rejected orders, with their codes.

use serde_json::{Value, json};

use crate::kit::{Gateway, on_both};

on_both!(
    a_wrong_transition_is_refused,
    a_stale_version_is_refused,
    an_unknown_product_makes_a_rejected_order,
    too_much_stock_makes_a_rejected_order_with_its_shortfalls,
    an_unknown_customer_makes_a_rejected_order,
    shipping_needs_a_tracking_number
);

async fn a_wrong_transition_is_refused(gateway: Gateway) {
    let customer = gateway.customer("CUST01");
    let order = customer.has_ordered(&[("PROD01", 1)]).await;
    let refused = customer.updates(json!({ "id": order["id"], "status": "DELIVERED" })).await;
    assert_eq!(refused["userErrors"][0]["code"], "INVALID_TRANSITION", "{refused:#}");
    assert_eq!(refused["order"], Value::Null);
    customer.cancels(json!({ "id": order["id"] })).await;
    let shipping =
        json!({ "id": order["id"], "status": "SHIPPED", "trackingCompany": "A", "trackingNumber": "1" });
    assert_eq!(customer.updates(shipping).await["userErrors"][0]["code"], "INVALID_TRANSITION");
    assert_eq!(customer.reads(order["id"].as_str().unwrap()).await["version"], 2);
}

async fn a_stale_version_is_refused(gateway: Gateway) {
    let customer = gateway.customer("CUST01");
    let order = customer.has_ordered(&[("PROD01", 1)]).await;
    let id = &order["id"];
    let moved =
        customer.updates(json!({ "id": id, "shippingAddress": "2 Quay", "expectedVersion": 1 })).await;
    assert_eq!(moved["order"]["version"], 2, "{moved:#}");
    let stale = json!({ "id": id, "shippingAddress": "3 Quay", "expectedVersion": 1 });
    assert_eq!(customer.updates(stale).await["userErrors"][0]["code"], "VERSION_CONFLICT");
    let stale = json!({ "id": id, "expectedVersion": 1 });
    assert_eq!(customer.cancels(stale.clone()).await["userErrors"][0]["code"], "VERSION_CONFLICT");
    assert_eq!(customer.deletes(stale).await["userErrors"][0]["code"], "VERSION_CONFLICT");
    assert_eq!(customer.reads(id.as_str().unwrap()).await["shippingAddress"], "2 Quay");
}

async fn an_unknown_product_makes_a_rejected_order(gateway: Gateway) {
    let customer = gateway.customer("CUST01");
    let order = customer.places_order(&[("PROD01", 1), ("NOPE", 1)]).await;
    assert_eq!(order["status"], "REJECTED", "{order:#}");
    assert_eq!(order["rejection"]["code"], "UNKNOWN_PRODUCT");
    assert_eq!(order["totalAmount"], Value::Null);
}

async fn too_much_stock_makes_a_rejected_order_with_its_shortfalls(gateway: Gateway) {
    let customer = gateway.customer("CUST01");
    let available = customer.looks_at("PROD07").await["availableQuantity"].clone();
    let order = customer.places_order(&[("PROD01", 1), ("PROD07", 10_000)]).await;
    assert_eq!(order["rejection"]["code"], "OUT_OF_STOCK", "{order:#}");
    assert_eq!(
        order["rejection"]["shortfalls"],
        json!([{ "productId": "PROD07", "requested": 10_000, "available": available }])
    );
    assert!(order["totalAmount"].is_object(), "it is priced all the same");
    assert_eq!(customer.looks_at("PROD07").await["availableQuantity"], available, "nothing is held");
}

async fn an_unknown_customer_makes_a_rejected_order(gateway: Gateway) {
    let order = gateway.customer("UNKNOWN").places_order(&[("PROD01", 1)]).await;
    assert_eq!(
        (&order["status"], &order["rejection"]["code"]),
        (&json!("REJECTED"), &json!("UNKNOWN_CUSTOMER"))
    );
}

async fn shipping_needs_a_tracking_number(gateway: Gateway) {
    let customer = gateway.customer("CUST01");
    let order = customer.has_ordered(&[("PROD01", 1)]).await;
    let bare = customer.updates(json!({ "id": order["id"], "status": "SHIPPED" })).await;
    assert_eq!(bare["userErrors"][0]["code"], "INVALID_INPUT", "{bare:#}");
    let tracked = json!({ "id": order["id"], "trackingCompany": "Parcel Co", "trackingNumber": "PC1" });
    assert_eq!(customer.updates(tracked).await["order"]["version"], 2);
    let shipped = customer.updates(json!({ "id": order["id"], "status": "SHIPPED" })).await;
    assert_eq!(shipped["order"]["status"], "SHIPPED", "{shipped:#}");
}
