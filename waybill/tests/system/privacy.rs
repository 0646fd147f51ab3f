//! No query, mutation or subscription shows a customer another customer's order.

use serde_json::{Value, json};

use crate::kit::{Gateway, Token, on_both};

on_both!(
    anothers_order_is_not_there,
    anothers_record_is_forbidden,
    anothers_updates_are_not_delivered,
    a_warehouse_reaches_every_order,
    a_scope_allows_what_it_says_and_no_more,
    anonymous_clients_get_nothing_of_orders
);

async fn anothers_order_is_not_there(gateway: Gateway) {
    let (owner, other) = (gateway.customer("CUST01"), gateway.customer("CUST02"));
    let order = owner.has_ordered(&[("PROD01", 1)]).await;
    let id = order["id"].as_str().unwrap();

    assert_eq!(other.reads(id).await, Value::Null);
    assert!(other.lists().await.is_empty());
    let cursor = &owner.asks("{ orders { edges { cursor } } }", json!({})).await["edges"][0]["cursor"];
    let page = other
        .sends("query($after: String) { orders(after: $after) { nodes { id } } }", json!({ "after": cursor }))
        .await;
    assert_eq!(page.code(), Some("CURSOR_INVALID"), "{:#}", page.body);
    for input in [json!({ "id": id }), json!({ "id": id, "expectedVersion": 1 })] {
        assert_eq!(other.cancels(input.clone()).await["userErrors"][0]["code"], "ORDER_NOT_FOUND");
        assert_eq!(other.deletes(input).await["userErrors"][0]["code"], "ORDER_NOT_FOUND");
    }
    let stolen = json!({ "id": id, "shippingAddress": "mine now" });
    assert_eq!(other.updates(stolen).await["userErrors"][0]["code"], "ORDER_NOT_FOUND");
    let missing = json!({ "id": "019ab1f0-7b2a-7c3d-8e4f-5a6b7c8d9e0f", "shippingAddress": "mine now" });
    let (theirs, unknown) =
        (other.updates(json!({ "id": id, "shippingAddress": "x" })).await, other.updates(missing).await);
    assert_eq!(theirs, unknown, "the answer doesn't reveal that the order exists");
    assert_eq!(owner.reads(id).await, order);
}

async fn anothers_record_is_forbidden(gateway: Gateway) {
    let other = gateway.customer("CUST02");
    let order = gateway.customer("CUST01").has_ordered(&[("PROD01", 1)]).await;
    for query in [
        r#"{ customer(id: "CUST01") { name } }"#,
        r#"{ customer(id: "CUST01") { orders { nodes { id } } } }"#,
        r#"{ orders(customerId: "CUST01") { nodes { id } } }"#,
    ] {
        let reply = other.sends(query, json!({})).await;
        assert_eq!(reply.code(), Some("FORBIDDEN"), "{query} {:#}", reply.body);
        assert!(!reply.body.to_string().contains(order["id"].as_str().unwrap()));
    }
    let mine = other.asks(r#"{ customer(id: "CUST02") { id } }"#, json!({})).await;
    assert_eq!(mine["id"], "CUST02");
}

async fn anothers_updates_are_not_delivered(gateway: Gateway) {
    let (owner, other) = (gateway.customer("CUST01"), gateway.customer("CUST02"));
    let order = owner.has_ordered(&[("PROD01", 1)]).await;
    let id = order["id"].as_str().unwrap();
    let mut by_order = other.subscribes_to(&format!("(orderId: \"{id}\")")).await;
    let mut own = other.subscribes().await;
    let mut by_customer = other.subscribes_to("(customerId: \"CUST01\")").await;
    assert_eq!(by_customer.code().await, "FORBIDDEN");
    let mut by_cursor = other.subscribes_to(&format!("(after: {})", order["cursor"])).await;
    assert_eq!(by_cursor.code().await, "CURSOR_INVALID");

    owner.updates(json!({ "id": id, "shippingAddress": "2 Quay" })).await;
    let mine = other.has_ordered(&[("PROD01", 1)]).await;
    assert_eq!(own.next().await["orderId"], mine["id"], "the customer's own order is the first update");
    // A client that knows the id of another customer's order receives nothing. The subscription to an order of the
    // client's own shows that updates are delivered meanwhile.
    let mut own_order = other.subscribes_to(&format!("(orderId: {})", mine["id"])).await;
    owner.updates(json!({ "id": id, "shippingAddress": "3 Quay" })).await;
    other.updates(json!({ "id": mine["id"], "shippingAddress": "4 Quay" })).await;
    assert_eq!(own_order.next().await["orderId"], mine["id"]);
    assert!(by_order.is_silent().await, "it received another customer's update");
}

async fn a_warehouse_reaches_every_order(gateway: Gateway) {
    let order = gateway.customer("CUST01").has_ordered(&[("PROD01", 1)]).await;
    let id = order["id"].as_str().unwrap();
    let warehouse = gateway
        .bearer(&Token::with_scopes("WAREHOUSE", "orders:read orders:write orders:fulfil orders:all").sign());
    assert_eq!(warehouse.reads(id).await, order);
    let listed = warehouse.asks(r#"{ orders(customerId: "CUST01") { nodes { id } } }"#, json!({})).await;
    assert_eq!(listed["nodes"][0]["id"], id);
    let mut updates = warehouse.subscribes_to("(customerId: \"CUST01\")").await;
    let shipping = json!({ "id": id, "status": "SHIPPED", "trackingCompany": "A", "trackingNumber": "1" });
    assert_eq!(warehouse.updates(shipping).await["order"]["status"], "SHIPPED");
    assert_eq!(updates.next().await["orderId"], id);
}

async fn a_scope_allows_what_it_says_and_no_more(gateway: Gateway) {
    let order = gateway.customer("CUST01").has_ordered(&[("PROD01", 1)]).await;
    let id = &order["id"];
    let create = "mutation { createOrder(input: { items: [{ productId: \"PROD01\", quantity: 1 }] }) { order { id } } }";
    let cancel = "mutation($id: ID!) { cancelOrder(input: { id: $id }) { order { id } } }";
    let ship = "mutation($id: ID!) { updateOrder(input: { id: $id, status: SHIPPED, trackingCompany: \"A\", \
                trackingNumber: \"1\" }) { order { id } } }";
    let read = "query($id: ID!) { order(id: $id) { id } }";
    for (scopes, forbidden) in [
        ("", &[create, cancel, ship, read][..]),
        ("orders:read", &[create, cancel, ship]),
        ("orders:write", &[ship]),
        ("orders:fulfil", &[create, cancel]),
        ("orders:all", &[create, cancel, ship]),
    ] {
        let caller = gateway.bearer(&Token::with_scopes("CUST01", scopes).sign());
        for query in forbidden {
            let reply = caller.sends(query, json!({ "id": id })).await;
            assert_eq!(
                (reply.status, reply.code()),
                (200, Some("FORBIDDEN")),
                "{scopes:?} {query} {:#}",
                reply.body
            );
        }
    }
    assert_eq!(gateway.customer("CUST01").lists().await, [order]);
}

async fn anonymous_clients_get_nothing_of_orders(gateway: Gateway) {
    let order = gateway.customer("CUST01").has_ordered(&[("PROD01", 1)]).await;
    let client = gateway.anonymous();
    for query in [
        "query($id: ID!) { order(id: $id) { id } }",
        "query($id: ID!) { __typename orders { nodes { id } } other: order(id: $id) { id } }",
        "query { me { id } }",
        "query { customer(id: \"CUST01\") { id } }",
        "mutation($id: ID!) { cancelOrder(input: { id: $id }) { order { id } } }",
    ] {
        let reply = client.sends(query, json!({ "id": order["id"] })).await;
        assert_eq!((reply.status, reply.code()), (200, Some("UNAUTHENTICATED")), "{query} {:#}", reply.body);
    }
    assert_eq!(client.subscribes().await.code().await, "UNAUTHENTICATED");
}
