//! An order's life without failures.

use serde_json::{Value, json};

use crate::kit::{Gateway, on_both};

on_both!(
    an_order_is_placed_watched_and_delivered,
    an_order_reads_back_with_its_customer_and_products,
    a_key_names_one_order,
    an_order_can_be_cancelled_and_deleted,
    orders_are_paged_both_ways_while_others_are_placed,
    the_catalogue_needs_no_token
);

pub(crate) async fn an_order_is_placed_watched_and_delivered(gateway: Gateway) {
    let customer = gateway.customer("CUST01");
    let mut updates = customer.subscribes().await;
    let (first, second) = (customer.looks_at("PROD01").await, customer.looks_at("PROD02").await);

    let order = customer.places_order(&[("PROD01", 2), ("PROD02", 1)]).await;
    let id = order["id"].as_str().unwrap();
    assert_eq!(order["status"], "PROCESSING", "{order:#}");
    let price = |product: &Value| product["unitPrice"]["amount"].as_str().unwrap().to_owned();
    let total = times(&[(&price(&first), 2), (&price(&second), 1)]);
    assert_eq!(order["totalAmount"], json!({ "amount": total, "currencyCode": "USD" }));
    customer.sees_available("PROD01", first["availableQuantity"].as_i64().unwrap() - 2).await;

    let created = updates.next().await;
    assert_eq!(
        (&created["kind"], &created["status"]),
        (&json!("CREATED"), &json!("PROCESSING")),
        "{created:#}"
    );
    assert_eq!((&created["version"], &created["previousStatus"]), (&json!(1), &Value::Null));
    assert_eq!(created["order"], order);

    let shipping =
        json!({ "id": id, "status": "SHIPPED", "trackingCompany": "Parcel Co", "trackingNumber": "PC123" });
    let shipped = customer.updates(shipping).await;
    assert_eq!(shipped["userErrors"], json!([]), "{shipped:#}");
    assert_eq!(shipped["order"]["trackingNumber"], "PC123");
    let delivered = customer.updates(json!({ "id": id, "status": "DELIVERED" })).await;
    assert_eq!(delivered["order"]["version"], 3, "{delivered:#}");

    for (version, status, previous) in [(2, "SHIPPED", "PROCESSING"), (3, "DELIVERED", "SHIPPED")] {
        let update = updates.next().await;
        assert_eq!(update["kind"], "STATUS_CHANGED", "{update:#}");
        assert_eq!((&update["version"], &update["status"]), (&json!(version), &json!(status)));
        assert_eq!(update["previousStatus"], previous);
        assert_eq!(update["order"]["status"], status, "a snapshot right after the update");
    }
    let query = "query($id: ID!) { order(id: $id) { history { kind version status previousStatus } } }";
    let history = customer.asks(query, json!({ "id": id })).await;
    assert_eq!(
        history["history"],
        json!([
            { "kind": "CREATED", "version": 1, "status": "PROCESSING", "previousStatus": null },
            { "kind": "STATUS_CHANGED", "version": 2, "status": "SHIPPED", "previousStatus": "PROCESSING" },
            { "kind": "STATUS_CHANGED", "version": 3, "status": "DELIVERED", "previousStatus": "SHIPPED" },
        ])
    );
}

async fn an_order_reads_back_with_its_customer_and_products(gateway: Gateway) {
    let customer = gateway.customer("CUST01");
    let order = customer.has_ordered(&[("PROD03", 1), ("PROD04", 3)]).await;
    let query = "query($id: ID!) { order(id: $id) { customer { id name email shippingAddress } shippingAddress \
                 lineItems { quantity productName unitPrice { amount } totalPrice { amount } \
                 product { id name unitPrice { amount } } } } }";
    let read = customer.asks(query, json!({ "id": order["id"] })).await;

    assert_eq!(read["customer"]["id"], "CUST01");
    assert!(read["customer"]["email"].as_str().unwrap().contains('@'));
    assert_eq!(
        read["shippingAddress"], read["customer"]["shippingAddress"],
        "the customer's address is the default"
    );
    let lines = read["lineItems"].as_array().unwrap();
    assert_eq!(lines.len(), 2);
    for (line, (product, quantity)) in lines.iter().zip([("PROD03", 1), ("PROD04", 3)]) {
        assert_eq!(line["product"]["id"], product);
        assert_eq!(line["product"]["name"], line["productName"]);
        assert_eq!(line["product"]["unitPrice"], line["unitPrice"]);
        let unit = line["unitPrice"]["amount"].as_str().unwrap();
        assert_eq!(line["totalPrice"]["amount"], times(&[(unit, quantity)]));
    }
}

async fn a_key_names_one_order(gateway: Gateway) {
    let customer = gateway.customer("CUST01");
    let input = json!({ "items": [{ "productId": "PROD05", "quantity": 1 }], "idempotencyKey": "cart-7" });
    let first = customer.creates(input.clone()).await;
    assert_eq!(first["replayed"], false, "{first:#}");
    let again = customer.creates(input.clone()).await;
    assert_eq!(again["replayed"], true, "{again:#}");
    assert_eq!(again["order"], first["order"]);

    let other = json!({ "items": [{ "productId": "PROD05", "quantity": 2 }], "idempotencyKey": "cart-7" });
    let reused = customer.creates(other).await;
    assert_eq!(reused["userErrors"][0]["code"], "IDEMPOTENCY_KEY_REUSED", "{reused:#}");
    assert_eq!(reused["order"], Value::Null);
    let theirs = gateway.customer("CUST02").creates(input).await;
    assert_ne!(theirs["order"]["id"], first["order"]["id"], "a key is the customer's own");
    assert_eq!(customer.lists().await.len(), 1);
}

async fn an_order_can_be_cancelled_and_deleted(gateway: Gateway) {
    let customer = gateway.customer("CUST01");
    let before = customer.looks_at("PROD06").await["availableQuantity"].as_i64().unwrap();
    let order = customer.has_ordered(&[("PROD06", 4)]).await;
    let id = order["id"].as_str().unwrap();
    customer.sees_available("PROD06", before - 4).await;

    let cancelled = customer.cancels(json!({ "id": id, "expectedVersion": 1 })).await;
    assert_eq!(cancelled["order"]["status"], "CANCELLED", "{cancelled:#}");
    let again = customer.cancels(json!({ "id": id })).await;
    assert_eq!(again["order"]["version"], 2, "a change that changes nothing returns the order as it is");
    customer.sees_available("PROD06", before).await;

    let mut updates = customer.subscribes_to(&format!("(orderId: \"{id}\")")).await;
    let deleted = customer.deletes(json!({ "id": id })).await;
    assert_eq!(deleted, json!({ "deletedOrderId": id, "userErrors": [] }));
    let update = updates.version(3).await;
    assert_eq!((&update["kind"], &update["order"]), (&json!("DELETED"), &Value::Null), "{update:#}");
    assert_eq!((&update["orderId"], &update["status"]), (&json!(id), &json!("CANCELLED")));
    assert_eq!(customer.reads(id).await, Value::Null);
}

async fn orders_are_paged_both_ways_while_others_are_placed(gateway: Gateway) {
    let customer = gateway.customer("CUST02");
    let mut placed = Vec::new();
    for _ in 0..5 {
        placed.push(customer.has_ordered(&[("PROD01", 1)]).await["id"].clone());
    }
    placed.reverse();
    let query = "query($first: Int, $after: String, $last: Int, $before: String) { \
                 orders(first: $first, after: $after, last: $last, before: $before) { \
                 nodes { id } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";
    let ids = |page: &Value| {
        page["nodes"].as_array().unwrap().iter().map(|node| node["id"].clone()).collect::<Vec<_>>()
    };

    let newest = customer.asks(query, json!({ "first": 2 })).await;
    assert_eq!(ids(&newest), placed[..2]);
    assert_eq!(newest["pageInfo"]["hasNextPage"], true);
    customer.has_ordered(&[("PROD01", 1)]).await;
    let next = customer.asks(query, json!({ "first": 2, "after": newest["pageInfo"]["endCursor"] })).await;
    assert_eq!(ids(&next), placed[2..4], "a new order doesn't move later pages");
    let last = customer.asks(query, json!({ "first": 2, "after": next["pageInfo"]["endCursor"] })).await;
    assert_eq!((ids(&last), &last["pageInfo"]["hasNextPage"]), (placed[4..].to_vec(), &json!(false)));
    let back = customer.asks(query, json!({ "last": 2, "before": next["pageInfo"]["startCursor"] })).await;
    assert_eq!(ids(&back), placed[..2]);
}

async fn the_catalogue_needs_no_token(gateway: Gateway) {
    let client = gateway.anonymous();
    let query = "query($search: String) { products(first: 100, search: $search) { nodes { id name availableQuantity \
                 unitPrice { amount currencyCode } } } }";
    let all = client.asks(query, json!({})).await;
    let products = all["nodes"].as_array().unwrap();
    assert!(products.len() >= 24, "{}", products.len());
    let name = products[0]["name"].as_str().unwrap().to_uppercase();
    let found = client.asks(query, json!({ "search": name })).await;
    assert_eq!(found["nodes"][0]["id"], products[0]["id"]);
}

/// The sum of these quantities at these prices, in decimal with two digits.
fn times(amounts: &[(&str, u32)]) -> String {
    let cents: u64 = amounts.iter().map(|(amount, quantity)| cents(amount) * u64::from(*quantity)).sum();
    format!("{}.{:02}", cents / 100, cents % 100)
}

fn cents(amount: &str) -> u64 {
    let (whole, fraction) = amount.split_once('.').unwrap();
    assert_eq!(fraction.len(), 2, "{amount}");
    whole.parse::<u64>().unwrap() * 100 + fraction.parse::<u64>().unwrap()
}
