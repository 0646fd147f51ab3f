//! Input that is out of bounds: each is refused with its code, and nothing of it is stored.

use serde_json::{Value, json};

use crate::kit::{Gateway, on_both};

on_both!(
    orders_out_of_bounds_are_refused_and_not_stored,
    changes_out_of_bounds_are_refused_and_not_stored,
    pages_and_cursors_out_of_bounds_are_refused,
    ids_that_name_nothing_are_not_found,
    input_in_bounds_comes_back_unchanged
);

fn item(product: &str, quantity: Value) -> Value {
    json!({ "productId": product, "quantity": quantity })
}

async fn orders_out_of_bounds_are_refused_and_not_stored(gateway: Gateway) {
    let customer = gateway.customer("CUST01");
    let mug = || item("PROD01", json!(1));
    let many: Vec<Value> = (0..101).map(|number| item(&format!("P{number}"), json!(1))).collect();
    let long = |length: usize| "é".repeat(length);
    let cases = [
        (json!({ "items": [] }), "INVALID_INPUT", json!(["input", "items"])),
        (json!({ "items": many }), "INVALID_INPUT", json!(["input", "items"])),
        (
            json!({ "items": [item("PROD01", json!(0))] }),
            "INVALID_INPUT",
            json!(["input", "items", "0", "quantity"]),
        ),
        (
            json!({ "items": [mug(), item("PROD02", json!(-1))] }),
            "INVALID_INPUT",
            json!(["input", "items", "1", "quantity"]),
        ),
        (
            json!({ "items": [item("PROD01", json!(10_001))] }),
            "INVALID_INPUT",
            json!(["input", "items", "0", "quantity"]),
        ),
        (
            json!({ "items": [item("PROD01", json!(i32::MAX))] }),
            "INVALID_INPUT",
            json!(["input", "items", "0", "quantity"]),
        ),
        (
            json!({ "items": [mug(), mug()] }),
            "DUPLICATE_PRODUCT",
            json!(["input", "items", "1", "productId"]),
        ),
        (
            json!({ "items": [item("", json!(1))] }),
            "INVALID_INPUT",
            json!(["input", "items", "0", "productId"]),
        ),
        (
            json!({ "items": [item(&long(65), json!(1))] }),
            "INVALID_INPUT",
            json!(["input", "items", "0", "productId"]),
        ),
        (
            json!({ "items": [item("PROD\u{0}", json!(1))] }),
            "INVALID_INPUT",
            json!(["input", "items", "0", "productId"]),
        ),
        (
            json!({ "items": [mug()], "shippingAddress": "" }),
            "INVALID_INPUT",
            json!(["input", "shippingAddress"]),
        ),
        (
            json!({ "items": [mug()], "shippingAddress": long(501) }),
            "INVALID_INPUT",
            json!(["input", "shippingAddress"]),
        ),
        (
            json!({ "items": [mug()], "shippingAddress": "a\u{0}b" }),
            "INVALID_INPUT",
            json!(["input", "shippingAddress"]),
        ),
        (
            json!({ "items": [mug()], "shippingAddress": "a\u{1b}[2Jb" }),
            "INVALID_INPUT",
            json!(["input", "shippingAddress"]),
        ),
        (
            json!({ "items": [mug()], "idempotencyKey": "" }),
            "INVALID_INPUT",
            json!(["input", "idempotencyKey"]),
        ),
        (
            json!({ "items": [mug()], "idempotencyKey": long(256) }),
            "INVALID_INPUT",
            json!(["input", "idempotencyKey"]),
        ),
        (
            json!({ "items": [mug()], "idempotencyKey": "a\nb" }),
            "INVALID_INPUT",
            json!(["input", "idempotencyKey"]),
        ),
    ];
    for (input, code, field) in cases {
        let payload = customer.creates(input.clone()).await;
        assert_eq!(payload["order"], Value::Null, "{input}");
        let errors = payload["userErrors"].as_array().unwrap();
        assert_eq!((&errors[0]["code"], &errors[0]["field"]), (&json!(code), &field), "{input} {errors:?}");
    }
    // Input that doesn't match its GraphQL type is refused with the whole request.
    let query = "mutation($input: CreateOrderInput!) { createOrder(input: $input) { order { id } } }";
    for input in [
        json!({ "items": [item("PROD01", json!(2_147_483_648_i64))] }),
        json!({ "items": [item("PROD01", json!(1.5))] }),
        json!({ "items": [item("PROD01", json!("1"))] }),
        json!({ "items": [{ "productId": "PROD01" }] }),
        json!({ "items": [mug()], "colour": "red" }),
        json!({ "items": null }),
        json!({}),
        Value::Null,
    ] {
        let reply = customer.sends(query, json!({ "input": input })).await;
        assert_eq!(
            (reply.status, reply.code()),
            (400, Some("GRAPHQL_VALIDATION_FAILED")),
            "{input} {:#}",
            reply.body
        );
        assert!(reply.body.get("data").is_none(), "{input}");
    }
    assert!(customer.lists().await.is_empty(), "nothing was stored");
}

async fn changes_out_of_bounds_are_refused_and_not_stored(gateway: Gateway) {
    let customer = gateway.customer("CUST01");
    let order = customer.has_ordered(&[("PROD01", 1)]).await;
    let id = order["id"].as_str().unwrap();
    for (change, field) in [
        (json!({ "shippingAddress": " " }), "shippingAddress"),
        (json!({ "shippingAddress": "x".repeat(501) }), "shippingAddress"),
        (json!({ "shippingAddress": "a\u{7}b" }), "shippingAddress"),
        (json!({ "trackingCompany": "x".repeat(101) }), "trackingCompany"),
        (json!({ "trackingNumber": "PC\n1" }), "trackingNumber"),
    ] {
        let mut input = change.clone();
        input["id"] = json!(id);
        let payload = customer.updates(input).await;
        assert_eq!(payload["userErrors"][0]["code"], "INVALID_INPUT", "{change} {payload:#}");
        assert_eq!(payload["userErrors"][0]["field"], json!(["input", field]), "{change}");
    }
    for version in [-1, 0, i32::MAX] {
        let payload = customer.cancels(json!({ "id": id, "expectedVersion": version })).await;
        let code = payload["userErrors"][0]["code"].as_str();
        assert!(matches!(code, Some("VERSION_CONFLICT" | "INVALID_INPUT")), "{version} {payload:#}");
    }
    let query = "mutation($input: UpdateOrderInput!) { updateOrder(input: $input) { order { id } } }";
    for input in [
        json!({ "id": id, "status": "LOST" }),
        json!({ "status": "SHIPPED" }),
        json!({ "id": id, "price": 1 }),
    ] {
        let reply = customer.sends(query, json!({ "input": input })).await;
        assert_eq!(
            (reply.status, reply.code()),
            (400, Some("GRAPHQL_VALIDATION_FAILED")),
            "{input} {:#}",
            reply.body
        );
    }
    assert_eq!(customer.reads(id).await, order, "nothing has changed");
}

async fn pages_and_cursors_out_of_bounds_are_refused(gateway: Gateway) {
    let customer = gateway.customer("CUST01");
    let order = customer.has_ordered(&[("PROD01", 1)]).await;
    let others = gateway.customer("CUST02");
    others.has_ordered(&[("PROD01", 1)]).await;
    let foreign =
        others.asks("{ orders { edges { cursor } } }", json!({})).await["edges"][0]["cursor"].clone();
    let product =
        customer.asks("{ products(first: 1) { edges { cursor } } }", json!({})).await["edges"][0]["cursor"]
            .clone();
    let query = "query($first: Int, $after: String, $last: Int, $before: String) { \
                 orders(first: $first, after: $after, last: $last, before: $before) { nodes { id } } }";
    for (page, code) in [
        (json!({ "first": 0 }), "BAD_USER_INPUT"),
        (json!({ "first": 101 }), "BAD_USER_INPUT"),
        (json!({ "last": -1 }), "BAD_USER_INPUT"),
        (json!({ "first": 1, "last": 1 }), "BAD_USER_INPUT"),
        (json!({ "after": "" }), "CURSOR_INVALID"),
        (json!({ "before": "no cursor" }), "CURSOR_INVALID"),
        (json!({ "after": "A".repeat(100_000) }), "CURSOR_INVALID"),
        (json!({ "after": order["cursor"] }), "CURSOR_INVALID"),
        (json!({ "after": product }), "CURSOR_INVALID"),
        (json!({ "after": foreign }), "CURSOR_INVALID"),
        (json!({ "last": 1, "before": foreign }), "CURSOR_INVALID"),
    ] {
        let reply = customer.sends(query, page.clone()).await;
        assert_eq!((reply.status, reply.code()), (200, Some(code)), "{page} {:#}", reply.body);
        assert_eq!(reply.body["data"]["orders"], Value::Null, "{page}");
    }
    for search in ["x".repeat(101), "a\u{0}b".to_owned()] {
        let query = "query($search: String) { products(search: $search) { nodes { id } } }";
        let reply = customer.sends(query, json!({ "search": search })).await;
        assert_eq!((reply.status, reply.code()), (200, Some("BAD_USER_INPUT")), "{:#}", reply.body);
    }
}

async fn ids_that_name_nothing_are_not_found(gateway: Gateway) {
    let customer = gateway.customer("CUST01");
    let absent = "019ab1f0-7b2a-7c3d-8e4f-5a6b7c8d9e0f";
    for id in [
        absent,
        "",
        "no uuid",
        "019ab1f07b2a7c3d8e4f5a6b7c8d9e0f",
        "{019ab1f0-7b2a-7c3d-8e4f-5a6b7c8d9e0f}",
        "\u{0}",
    ] {
        assert_eq!(customer.reads(id).await, Value::Null, "{id:?}");
        let changed = customer.updates(json!({ "id": id, "shippingAddress": "1 Quay" })).await;
        assert_eq!(changed["userErrors"][0]["code"], "ORDER_NOT_FOUND", "{id:?} {changed:#}");
        assert_eq!(customer.cancels(json!({ "id": id })).await["userErrors"][0]["code"], "ORDER_NOT_FOUND");
        assert_eq!(customer.deletes(json!({ "id": id })).await["userErrors"][0]["code"], "ORDER_NOT_FOUND");
    }
    for id in ["NOPE", "", "a\u{0}", &"x".repeat(65)] {
        assert_eq!(customer.looks_at(id).await, Value::Null, "{id:?}");
    }
    let mut updates = customer.subscribes_to("(orderId: \"no uuid\")").await;
    assert_eq!(updates.code().await, "BAD_USER_INPUT");
}

async fn input_in_bounds_comes_back_unchanged(gateway: Gateway) {
    let customer = gateway.customer("CUST01");
    for address in [
        "'; DROP TABLE orders; --",
        "Straße 1\n東京\t🚚",
        "{\"pattern\":\"order.delete\"}",
        "%s%n\\u0000",
        &"é".repeat(500),
    ] {
        let input = json!({ "items": [item("PROD01", json!(1))], "shippingAddress": address, "idempotencyKey": address.chars().filter(|c| !c.is_control()).take(255).collect::<String>() });
        let payload = customer.creates(input).await;
        assert_eq!(payload["order"]["shippingAddress"], *address, "{payload:#}");
        let id = payload["order"]["id"].as_str().unwrap();
        assert_eq!(customer.sees_status(id, "PROCESSING").await["shippingAddress"], *address);
    }
}
