//! A field that fails is null at its own path, and leaves everything around it as it is.

use bus::rpc_client::RequestError;
use serde_json::{Value, json};

use gateway::subscriptions::SubscriptionSettings;
use std::time::Duration;

use crate::kit::{TestApi, ada, errors, internal_failure, test_api, test_api_within, unavailable};

/// Each nullable field that can fail: the pattern it needs, a document that selects it among others, and its path.
const FIELDS: [(&str, &str, &str); 10] = [
    ("customer.get", "{ rest: __typename me { name } }", "me"),
    ("customer.get", "{ rest: __typename customer(id: \"CUST01\") { name } }", "customer"),
    ("order.get", "{ rest: __typename order(id: \"$ID\") { version } }", "order"),
    ("order.list", "{ rest: __typename orders { nodes { version } } }", "orders"),
    ("inventory.get", "{ rest: __typename product(id: \"PROD01\") { name } }", "product"),
    ("inventory.list", "{ rest: __typename products { nodes { name } } }", "products"),
    ("customer.get", "{ orders { nodes { version customer { name } } } }", "orders.nodes.0.customer"),
    ("order.history", "{ orders { nodes { history { kind } version } } }", "orders.nodes.0.history"),
    (
        "inventory.get",
        "{ orders { nodes { lineItems { quantity product { name } } } } }",
        "orders.nodes.0.lineItems.0.product",
    ),
    ("order.list", "{ me { name orders { nodes { version } } } }", "me.orders"),
];

/// The mutations, whose order and customer are nested one level deeper.
const MUTATIONS: [(&str, &str, &str); 4] = [
    ("order.update", "updateOrder(input: {id: \"$ID\"}) { userErrors { code } }", "updateOrder"),
    ("order.cancel", "cancelOrder(input: {id: \"$ID\"}) { userErrors { code } }", "cancelOrder"),
    ("order.delete", "deleteOrder(input: {id: \"$ID\"}) { userErrors { code } }", "deleteOrder"),
    (
        "customer.get",
        "updateOrder(input: {id: \"$ID\"}) { order { version customer { name } } }",
        "updateOrder.order.customer",
    ),
];

fn documents(test: &TestApi) -> Vec<(&'static str, String, &'static str)> {
    let id = test.placed("CUST01", "PROD01").id.to_string();
    let queries = FIELDS.map(|(pattern, query, path)| (pattern, query.replace("$ID", &id), path));
    let mutations = MUTATIONS.map(|(pattern, field, path)| {
        (pattern, format!("mutation {{ {} rest: __typename }}", field.replace("$ID", &id)), path)
    });
    queries.into_iter().chain(mutations).collect()
}

#[tokio::test]
async fn each_nullable_field_fails_alone() {
    for index in 0..FIELDS.len() + MUTATIONS.len() {
        let test = test_api();
        let (pattern, document, path) = documents(&test).swap_remove(index);
        test.services.fail(pattern, internal_failure());
        let failed = test.run(ada(), &document).await;
        assert_eq!(errors(&failed), [("INTERNAL_SERVER_ERROR".to_owned(), path.to_owned())], "{document}");
        assert!(!failed.to_string().contains("secret"), "{failed}");

        // But for that field and the order's version, all is as without the fault.
        let test = test_api();
        let (_, document, _) = documents(&test).swap_remove(index);
        let mut expected = test.run(ada(), &document).await;
        assert_eq!(expected["errors"], Value::Null, "{document}: {expected}");
        let pointer = format!("/data/{}", path.replace('.', "/"));
        let field = expected.pointer_mut(&pointer).unwrap();
        assert_ne!(*field, Value::Null, "{document}");
        *field = Value::Null;
        assert_eq!(failed["data"], expected["data"], "{document}");
    }
}

#[tokio::test]
async fn with_customer_service_away_orders_come_without_customer_and_with_everything_else() {
    let test = test_api();
    for _ in 0..3 {
        test.placed("CUST01", "PROD01");
    }
    test.services.fail("customer.get", unavailable("customer.get"));
    let query =
        "{ orders { nodes { status customer { name } lineItems { product { id } } history { version } } } }";
    let response = test.run(ada(), query).await;
    let node = json!({"status": "PROCESSING", "customer": null, "lineItems": [{"product": {"id": "PROD01"}}],
        "history": [{"version": 1}]});
    assert_eq!(response["data"], json!({"orders": {"nodes": [node, node, node]}}));
    let paths = |index: usize| ("SERVICE_UNAVAILABLE".to_owned(), format!("orders.nodes.{index}.customer"));
    assert_eq!(errors(&response), [paths(0), paths(1), paths(2)]);
    assert_eq!(response["errors"][0]["extensions"]["retryable"], true);
}

#[tokio::test]
async fn a_fault_of_a_change_says_what_was_done() {
    let test = test_api();
    let order = test.placed("CUST01", "PROD01");
    let cancel = format!("mutation {{ cancelOrder(input: {{id: \"{}\"}}) {{ order {{ id }} }} }}", order.id);
    let timed_out = RequestError::DeadlineExceeded { pattern: "order.cancel".into() };
    for (error, expected) in [
        (
            unavailable("order.cancel"),
            json!({"code": "SERVICE_UNAVAILABLE", "outcome": "NONE", "retryable": true}),
        ),
        (timed_out, json!({"code": "DEADLINE_EXCEEDED", "outcome": "UNKNOWN"})),
        (internal_failure(), json!({"code": "INTERNAL_SERVER_ERROR", "outcome": "UNKNOWN"})),
    ] {
        test.services.fail("order.cancel", error);
        let response = test.run(ada(), &cancel).await;
        assert_eq!(response["data"], json!({"cancelOrder": null}));
        assert_eq!(response["errors"][0]["extensions"], expected);
    }
}

#[tokio::test]
async fn past_the_deadline_nothing_is_sent() {
    let test = test_api_within(Duration::ZERO, SubscriptionSettings::default());
    let id = test.placed("CUST01", "PROD01").id;
    let create = "createOrder(input: {items: [{productId: \"PROD01\", quantity: 1}]}) { order { id } }";
    let cancel = format!("cancelOrder(input: {{id: \"{id}\"}}) {{ order {{ id }} }}");
    for field in [create, &cancel] {
        let response = test.run(ada(), &format!("mutation {{ {field} }}")).await;
        let expected = json!({"code": "DEADLINE_EXCEEDED", "outcome": "NONE", "retryable": true});
        assert_eq!(response["errors"][0]["extensions"], expected, "{field}");
    }
    assert!(test.services.requests().is_empty());
    assert!(test.services.placements.lock().unwrap().is_empty());
}
