//! How many requests an operation costs.

use std::collections::BTreeMap;

use serde_json::json;

use crate::kit::{TestApi, ada, test_api, warehouse};

fn counted(test: &TestApi) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for pattern in test.services.requests() {
        *counts.entry(pattern).or_default() += 1;
    }
    counts
}

fn each_once(patterns: &[&str]) -> BTreeMap<String, usize> {
    patterns.iter().map(|pattern| ((*pattern).to_owned(), 1)).collect()
}

/// On several threads too: batches must not depend on which of them runs first.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_page_of_50_orders_with_everything_in_them_costs_one_request_a_kind() {
    let test = test_api();
    for number in 0..50 {
        test.placed("CUST01", &format!("PROD{:02}", number % 20 + 1));
    }
    let query = "{ orders(first: 50) { nodes { id customer { name } history { version }
        lineItems { quantity product { name availableQuantity } } } } }";
    for _ in 0..20 {
        let response = test.run(ada(), query).await;
        let nodes = response["data"]["orders"]["nodes"].as_array().unwrap();
        assert_eq!(nodes.len(), 50);
        assert!(nodes.iter().all(|node| node["lineItems"][0]["product"]["name"].is_string()));
        let once = each_once(&["order.list", "customer.get", "inventory.get", "order.history"]);
        assert_eq!(counted(&test), once);
    }
    test.run(ada(), query).await;
    let products = &test.services.requests_for("inventory.get")[0];
    assert_eq!(products.as_array().unwrap().len(), 20, "each product is requested once");
}

#[tokio::test]
async fn a_page_that_comes_in_parts_is_as_long_and_says_as_much_as_one_that_does_not() {
    let test = test_api();
    for _ in 0..12 {
        test.placed("CUST01", "PROD01");
    }
    let page = "nodes { id } edges { cursor } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }";
    let listed =
        async |arguments: &str| test.run(ada(), &format!("{{ orders{arguments} {{ {page} }} }}")).await;
    let whole = listed("(first: 12)").await;
    let cursor =
        |index: usize| whole["data"]["orders"]["edges"][index]["cursor"].as_str().unwrap().to_owned();
    for arguments in [
        "(first: 12)".to_owned(),
        "(first: 100)".to_owned(),
        "(first: 7)".to_owned(),
        "(last: 7)".to_owned(),
        "".to_owned(),
        format!("(first: 7, after: \"{}\")", cursor(2)),
        format!("(first: 9, after: \"{}\")", cursor(2)),
        format!("(last: 7, before: \"{}\")", cursor(9)),
        format!("(last: 9, before: \"{}\")", cursor(9)),
    ] {
        test.services.data.lock().unwrap().page_fits = None;
        let at_once = listed(&arguments).await;
        for fits in [1, 2, 5] {
            test.services.data.lock().unwrap().page_fits = Some(fits);
            assert_eq!(listed(&arguments).await, at_once, "{arguments}, {fits} at once");
        }
    }
    // A service that answers nothing, and that there is more, is not asked for ever.
    test.services.data.lock().unwrap().page_fits = Some(0);
    assert_eq!(listed("(first: 12)").await["data"]["orders"]["nodes"], json!([]));
}

#[tokio::test]
async fn an_orders_own_fields_cost_nothing_more() {
    let test = test_api();
    let order = test.placed("CUST01", "PROD01");
    let own = "id status customerId version cursor createdAt totalAmount { amount } shippingAddress
        lineItems { id productId productName quantity unitPrice { amount } totalPrice { amount } }";
    test.run(ada(), &format!("{{ orders {{ nodes {{ {own} }} pageInfo {{ hasNextPage }} }} }}")).await;
    assert_eq!(counted(&test), each_once(&["order.list"]));
    test.run(ada(), &format!("{{ order(id: \"{}\") {{ {own} }} }}", order.id)).await;
    assert_eq!(counted(&test), each_once(&["order.get"]));
    let create = "mutation { createOrder(input: {items: [{productId: \"PROD01\", quantity: 1}]}) {
        order { id status version cursor } } }";
    test.run(ada(), create).await;
    assert!(counted(&test).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_fields_of_one_kind_are_one_request() {
    let test = test_api();
    let orders: Vec<String> = (0..3).map(|_| test.placed("CUST01", "PROD01").id.to_string()).collect();
    let many = format!(
        "{{ a: order(id: \"{}\") {{ version }} b: order(id: \"{}\") {{ version }} c: order(id: \"{}\") {{ version }} }}",
        orders[0], orders[1], orders[2]
    );
    test.run(ada(), &many).await;
    assert_eq!(counted(&test), each_once(&["order.get"]));
    for customer in ["CUST01", "CUST02"] {
        test.placed(customer, "PROD02");
    }
    let two = "{ a: customer(id: \"CUST01\") { orders(first: 1) { nodes { customerId } } }
        b: customer(id: \"CUST02\") { orders(first: 1) { nodes { customerId } } } }";
    for _ in 0..20 {
        let response = test.run(warehouse(), two).await;
        let nodes = |customer: &str| json!({"orders": {"nodes": [{"customerId": customer}]}});
        assert_eq!(response, json!({"data": {"a": nodes("CUST01"), "b": nodes("CUST02")}}));
        assert_eq!(counted(&test), each_once(&["customer.get", "order.list"]));
    }
}

#[tokio::test]
async fn what_is_loaded_lasts_no_longer_than_its_operation() {
    let test = test_api();
    let query = "{ product(id: \"PROD01\") { availableQuantity } }";
    test.run(ada(), query).await;
    let product_id = "PROD01".parse().unwrap();
    test.services.data.lock().unwrap().products.get_mut(&product_id).unwrap().available_quantity = 7;
    let response = test.run(ada(), query).await;
    assert_eq!(response, json!({"data": {"product": {"availableQuantity": 7}}}));
}
