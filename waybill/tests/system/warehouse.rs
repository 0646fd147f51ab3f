//! A warehouse reads and follows the orders of all customers.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::kit::{Customer, FourProcesses, Gateway, OneProcess, Token, on_both};

on_both!(
    a_warehouse_finds_what_it_has_to_ship_and_what_it_has_shipped,
    a_warehouse_follows_the_orders_of_all_customers,
    the_orders_of_all_customers_are_for_those_who_may_see_them
);

const LIST: &str = "query($all: Boolean! = true, $first: Int, $after: String, $last: Int, $before: String, \
    $statuses: [OrderStatus!], $product: ID, $number: String, $from: DateTime, $until: DateTime) { \
    orders(allCustomers: $all, first: $first, after: $after, last: $last, before: $before, statuses: $statuses, \
    productId: $product, trackingNumber: $number, placedFrom: $from, placedBefore: $until) { \
    nodes { id } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }";

/// A client that may read every customer's orders, and ship them.
fn warehouse(gateway: &Gateway) -> Customer {
    gateway.bearer(&Token::with_scopes("WAREHOUSE", "orders:read orders:fulfil orders:all").sign())
}

async fn lists(client: &Customer, variables: Value) -> Vec<Value> {
    let page = client.asks(LIST, variables).await;
    page["nodes"].as_array().unwrap().iter().map(|node| node["id"].clone()).collect()
}

/// Ships an order; returns its version then.
async fn ships(client: &Customer, id: &Value, number: &str) -> u64 {
    let shipment =
        json!({ "id": id, "status": "SHIPPED", "trackingCompany": "Parcel Co", "trackingNumber": number });
    let shipped = client.updates(shipment).await;
    assert_eq!(shipped["userErrors"], json!([]), "{shipped:#}");
    shipped["order"]["version"].as_u64().unwrap()
}

async fn a_warehouse_finds_what_it_has_to_ship_and_what_it_has_shipped(gateway: Gateway) {
    let (ada, bob, warehouse) = (gateway.customer("CUST01"), gateway.customer("CUST02"), warehouse(&gateway));
    let mut placed = Vec::new();
    for (customer, basket) in
        [(&ada, "PROD01"), (&bob, "PROD02"), (&ada, "PROD02"), (&bob, "PROD01"), (&ada, "PROD01")]
    {
        placed.push(customer.has_ordered(&[(basket, 1), ("PROD09", 1)]).await);
    }
    let ids: Vec<Value> = placed.iter().map(|order| order["id"].clone()).collect();
    let of = |indexes: &[usize]| indexes.iter().map(|&index| ids[index].clone()).collect::<Vec<_>>();
    ships(&warehouse, &ids[1], "PC 1").await;
    ships(&warehouse, &ids[3], "PC 2").await;
    ada.cancels(json!({ "id": ids[0] })).await;

    let to_ship = json!({ "product": "PROD01", "statuses": ["PROCESSING"] });
    assert_eq!(lists(&warehouse, to_ship).await, of(&[4]));
    assert_eq!(lists(&warehouse, json!({ "product": "PROD01" })).await, of(&[4, 3, 0]));
    assert_eq!(lists(&warehouse, json!({ "product": "PROD09", "statuses": ["SHIPPED"] })).await, of(&[3, 1]));
    assert_eq!(lists(&warehouse, json!({ "number": "PC 2" })).await, of(&[3]));
    assert_eq!(lists(&warehouse, json!({ "number": "PC 3" })).await, of(&[]));
    let between = json!({ "from": placed[1]["createdAt"], "until": placed[4]["createdAt"] });
    assert_eq!(lists(&warehouse, between).await, of(&[3, 2, 1]));
    assert_eq!(lists(&bob, json!({ "all": false, "product": "PROD01" })).await, of(&[3]));
    assert_eq!(lists(&ada, json!({ "all": false, "number": "PC 1" })).await, of(&[]), "it is Bob's");

    let newest = warehouse.asks(LIST, json!({ "first": 2 })).await;
    assert_eq!(newest["pageInfo"]["hasNextPage"], true);
    let end = &newest["pageInfo"]["endCursor"];
    bob.has_ordered(&[("PROD01", 1)]).await;
    assert_eq!(lists(&warehouse, json!({ "first": 2, "after": end })).await, of(&[2, 1]));
    let narrowed = json!({ "first": 2, "after": end, "statuses": ["SHIPPED", "CANCELLED"] });
    assert_eq!(lists(&warehouse, narrowed).await, of(&[1, 0]), "a cursor is a place among all orders");
    assert_eq!(lists(&warehouse, json!({ "last": 2, "before": end })).await.last(), Some(&ids[4]));
    assert_eq!(lists(&warehouse, json!({ "last": 3 })).await, of(&[2, 1, 0]));
    ada.deletes(json!({ "id": ids[4] })).await;
    assert_eq!(
        lists(&warehouse, json!({ "product": "PROD01", "statuses": ["PROCESSING"], "last": 1 })).await.len(),
        1
    );
    assert!(!lists(&warehouse, json!({ "product": "PROD01" })).await.contains(&ids[4]));
}

async fn a_warehouse_follows_the_orders_of_all_customers(gateway: Gateway) {
    let warehouse = warehouse(&gateway);
    let mut all = warehouse.subscribes_to("(allCustomers: true)").await;
    let mut expected = Vec::new();
    for customer in ["CUST01", "CUST02", "CUST01"] {
        let order = gateway.customer(customer).has_ordered(&[("PROD01", 1)]).await;
        let version = ships(&warehouse, &order["id"], "PC 1").await;
        expected.extend((1..=version).map(|version| (order["id"].clone(), json!(version))));
    }
    let seen = all.take(expected.len()).await;
    let place = |update: &Value| (update["orderId"].clone(), update["version"].clone());
    assert_eq!(seen.iter().map(place).collect::<Vec<_>>(), expected);
    all.loses_its_connection();

    let after = format!("(allCustomers: true, after: {})", seen[2]["cursor"]);
    let mut resumed = warehouse.subscribes_to(&after).await;
    let again = resumed.take(expected.len() - 3).await;
    assert_eq!(again.iter().map(place).collect::<Vec<_>>(), expected[3..]);
    assert!(resumed.is_silent().await);
}

async fn the_orders_of_all_customers_are_for_those_who_may_see_them(gateway: Gateway) {
    let customer = gateway.customer("CUST01");
    let theirs = gateway.customer("CUST02").has_ordered(&[("PROD01", 1)]).await;
    for variables in [json!({}), json!({ "product": "PROD01" }), json!({ "number": "PC 1" })] {
        let reply = customer.sends(LIST, variables).await;
        assert_eq!(reply.code(), Some("FORBIDDEN"), "{:#}", reply.body);
        assert!(!reply.body.to_string().contains(theirs["id"].as_str().unwrap()));
    }
    assert_eq!(gateway.anonymous().sends(LIST, json!({})).await.code(), Some("UNAUTHENTICATED"));
    assert_eq!(customer.subscribes_to("(allCustomers: true)").await.code().await, "FORBIDDEN");
    let after = format!("(allCustomers: true, after: {})", theirs["cursor"]);
    assert_eq!(customer.subscribes_to(&after).await.code().await, "FORBIDDEN");

    let warehouse = warehouse(&gateway);
    let both = r#"{ orders(allCustomers: true, customerId: "CUST01") { nodes { id } } }"#;
    assert_eq!(warehouse.sends(both, json!({})).await.code(), Some("BAD_USER_INPUT"));
    let unindexed = json!({ "product": "PROD01", "number": "PC 1" });
    assert_eq!(warehouse.sends(LIST, unindexed).await.code(), Some("BAD_USER_INPUT"));
}

/// Places and cancels an order of each customer in turn, `orders` in all.
async fn customers_order(gateway: &Gateway, orders: usize) {
    for number in 0..orders {
        let customer = gateway.customer(["CUST01", "CUST02"][number % 2]);
        let order = customer.has_ordered(&[("PROD02", 1)]).await;
        customer.cancels(json!({ "id": order["id"] })).await;
    }
}

/// Every order of every customer was seen, each of its versions once and in order.
async fn saw_everything_once(warehouse: &Customer, seen: &[Value], orders: usize) {
    let mut versions: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for update in seen {
        let id = update["orderId"].as_str().unwrap().to_owned();
        versions.entry(id).or_default().push(update["version"].as_u64().unwrap());
    }
    let listed = lists(warehouse, json!({ "first": 100 })).await;
    assert_eq!((versions.len(), listed.len()), (orders, orders));
    for id in listed {
        let id = id.as_str().unwrap();
        let last = warehouse.reads(id).await["version"].as_u64().unwrap();
        assert_eq!(versions[id], (1..=last).collect::<Vec<_>>(), "{id}");
    }
}

/// The updates of so many orders, up to the last one's cancellation.
async fn sees_orders(updates: &mut crate::kit::Updates, orders: usize) -> Vec<Value> {
    let mut seen = Vec::new();
    while seen.iter().filter(|update: &&Value| update["status"] == "CANCELLED").count() < orders {
        seen.push(updates.next().await);
    }
    seen
}

fn after_the_last(seen: &[Value]) -> String {
    format!("(allCustomers: true, after: {})", seen.last().unwrap()["cursor"])
}

#[tokio::test(flavor = "multi_thread")]
async fn in_one_process_a_warehouse_resumes_across_a_kill() {
    let mut process = OneProcess::new();
    let gateway = process.start().await;
    let mut updates = warehouse(&gateway).subscribes_to("(allCustomers: true)").await;
    customers_order(&gateway, 4).await;
    let mut seen = sees_orders(&mut updates, 2).await;
    process.crash().await;

    let gateway = process.start().await;
    let warehouse = warehouse(&gateway);
    customers_order(&gateway, 4).await;
    let mut updates = warehouse.subscribes_to(&after_the_last(&seen)).await;
    customers_order(&gateway, 2).await;
    seen.extend(sees_orders(&mut updates, 8).await);
    assert!(updates.is_silent().await);
    saw_everything_once(&warehouse, &seen, 10).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_four_processes_a_warehouse_resumes_across_a_restart_of_its_gateway() {
    let mut processes = FourProcesses::new().await;
    let gateway = processes.start().await;
    let (second, copies) = processes.start_copies().await;
    let mut updates = warehouse(&gateway).subscribes_to("(allCustomers: true)").await;
    customers_order(&second, 4).await;
    let mut seen = sees_orders(&mut updates, 2).await;
    processes.stop_program("gateway").await;
    customers_order(&second, 4).await;

    processes.start_program("gateway").await;
    let warehouse = warehouse(&gateway);
    let mut updates = warehouse.subscribes_to(&after_the_last(&seen)).await;
    let (_, more) = tokio::join!(customers_order(&second, 4), sees_orders(&mut updates, 10));
    seen.extend(more);
    assert!(updates.is_silent().await);
    saw_everything_once(&warehouse, &seen, 12).await;
    // The same cursor holds at another gateway.
    let mut elsewhere = crate::warehouse::warehouse(&second).subscribes_to(&after_the_last(&seen[..5])).await;
    assert_eq!(elsewhere.take(seen.len() - 5).await.len(), seen.len() - 5);
    assert!(elsewhere.is_silent().await);
    drop(copies);
    processes.stop().await;
}
