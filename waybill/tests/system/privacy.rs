//! One customer never sees another's order, whichever way they try.

use serde_json::{Value, json};

use crate::kit::{Gateway, Token, on_both};

on_both!(
    anothers_order_is_not_there,
    anothers_record_is_forbidden,
    anothers_updates_are_not_told,
    a_warehouse_reaches_everybody,
    a_scope_allows_what_it_says_and_no_more,
    strangers_get_nothing_of_orders
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
    let (theirs, nobodys) =
        (other.updates(json!({ "id": id, "shippingAddress": "x" })).await, other.updates(missing).await);
    assert_eq!(theirs, nobodys, "that it exists can't be told either");
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

async fn anothers_updates_are_not_told(gateway: Gateway) {
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
    assert_eq!(own.next().await["orderId"], mine["id"], "one's own is the first that is told");
    // Ids are unguessable; still, whoever knows one hears nothing. An order of one's own under a known id shows that
    // the subscription is alive, so a second subscription to it is the yardstick.
    let mut yardstick = other.subscribes_to(&format!("(orderId: {})", mine["id"])).await;
    owner.updates(json!({ "id": id, "shippingAddress": "3 Quay" })).await;
    other.updates(json!({ "id": mine["id"], "shippingAddress": "4 Quay" })).await;
    assert_eq!(yardstick.next().await["orderId"], mine["id"]);
    assert!(by_order.is_silent().await, "it was told of another's order");
}

async fn a_warehouse_reaches_everybody(gateway: Gateway) {
    let order = gateway.customer("CUST01").has_ordered(&[("PROD01", 1)]).await;
    let id = order["id"].as_str().unwrap();
    let warehouse = gateway
        .bearer(&Token::with_scopes("DESK", "orders:read orders:write orders:fulfil orders:all").sign());
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

async fn strangers_get_nothing_of_orders(gateway: Gateway) {
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
