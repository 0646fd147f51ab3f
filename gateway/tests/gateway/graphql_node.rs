//! Relay's `node(id)`: what an id alone finds, and for whom.

use serde_json::{Value, json};

use crate::kit::{ada, errors, test_api, unavailable, viewer, warehouse};

fn node(id: &str) -> String {
    format!(
        "{{ node(id: \"{id}\") {{ __typename id ... on Order {{ status }} ... on Product {{ name }} \
         ... on Customer {{ email }} }} }}"
    )
}

fn nothing() -> Value {
    json!({"data": {"node": null}})
}

#[tokio::test]
async fn each_type_is_found_by_the_id_that_it_shows() {
    let test = test_api();
    let order = test.placed("CUST01", "PROD01").id.to_string();
    for (id, type_name) in [(order.as_str(), "Order"), ("PROD01", "Product"), ("CUST01", "Customer")] {
        let found = test.run(ada(), &node(id)).await;
        assert_eq!(found["data"]["node"]["__typename"], type_name, "{found}");
        assert_eq!(found["data"]["node"]["id"], id);
        assert_eq!(found["data"]["node"].as_object().unwrap().len(), 3, "{found}");
    }
    for id in ["NOTHING", "", "a\\u0000b", "019ab1f0-7b2a-7c3d-8e4f-ffffffffffff"] {
        assert_eq!(test.run(ada(), &node(id)).await, nothing(), "{id}");
    }
}

#[tokio::test]
async fn a_node_beyond_the_callers_reach_is_not_there() {
    let test = test_api();
    let order = test.placed("CUST02", "PROD01").id.to_string();
    for id in [order.as_str(), "CUST02"] {
        assert_eq!(test.run(ada(), &node(id)).await, nothing(), "{id}");
        assert!(test.run(warehouse(), &node(id)).await["data"]["node"]["id"].is_string(), "{id}");
    }
    let unread = test.run(viewer("CUST02", ""), &node(&order)).await;
    assert_eq!(errors(&unread), [("FORBIDDEN".to_owned(), "node".to_owned())]);
    let signed_out = test.run(None, &node(&order)).await;
    assert_eq!(errors(&signed_out), [("UNAUTHENTICATED".to_owned(), "node".to_owned())]);
    assert_eq!(test.run(None, &node("PROD01")).await["data"]["node"]["__typename"], "Product");
}

#[tokio::test]
async fn several_nodes_cost_one_request_a_type_and_an_order_id_is_asked_of_nobody_else_in_vain() {
    let test = test_api();
    let order = test.placed("CUST01", "PROD01").id.to_string();
    let several = format!(
        "{{ a: node(id: \"{order}\") {{ id }} b: node(id: \"PROD01\") {{ id }} c: node(id: \"PROD02\") {{ id }} \
         d: node(id: \"CUST01\") {{ id }} }}"
    );
    let found = test.run(ada(), &several).await;
    assert!(found["data"].as_object().unwrap().values().all(|node| node["id"].is_string()), "{found}");
    let mut requests = test.services.requests();
    requests.sort_unstable();
    assert_eq!(requests, ["customer.get", "inventory.get", "order.get"]);
}

#[tokio::test]
async fn a_service_that_is_away_hides_no_node_of_another() {
    let test = test_api();
    let order = test.placed("CUST01", "PROD01").id.to_string();
    test.services.fail("inventory.get", unavailable("inventory.get"));
    assert_eq!(test.run(ada(), &node(&order)).await["data"]["node"]["__typename"], "Order");
    let failed = test.run(ada(), &node("PROD01")).await;
    assert_eq!(errors(&failed), [("SERVICE_UNAVAILABLE".to_owned(), "node".to_owned())]);
}

#[tokio::test]
async fn an_id_of_a_product_and_a_customer_is_neithers_to_give() {
    let test = test_api();
    let found = test.run(viewer("PROD01", "orders:read"), &node("PROD01")).await;
    assert_eq!(found["data"]["node"]["__typename"], "Product", "there is no such customer");
    {
        let mut data = test.services.data.lock().unwrap();
        let mut customer = data.customers.first_key_value().unwrap().1.clone();
        customer.id = "PROD01".parse().unwrap();
        data.customers.insert(customer.id.clone(), customer);
    }
    let ambiguous = test.run(viewer("PROD01", "orders:read"), &node("PROD01")).await;
    assert_eq!(errors(&ambiguous), [("BAD_USER_INPUT".to_owned(), "node".to_owned())]);
    assert_eq!(test.run(ada(), &node("PROD01")).await["data"]["node"]["__typename"], "Product");
}
