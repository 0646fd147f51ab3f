//! What each viewer sees, and which scopes a token needs for it.

use serde_json::{Value, json};

use crate::kit::{ALL_SCOPES, ada, errors, test_api, viewer, warehouse};

fn error(code: &str, path: &str) -> Vec<(String, String)> {
    vec![(code.to_owned(), path.to_owned())]
}

#[tokio::test]
async fn the_catalogue_is_open_and_everything_else_needs_a_token() {
    let test = test_api();
    let query = r#"{ product(id: "PROD01") { name } products(first: 1) { nodes { id } } }"#;
    let response = test.run(None, query).await;
    assert_eq!(
        response,
        json!({"data": {"product": {"name": "Product 1"}, "products": {"nodes": [{"id": "PROD01"}]}}})
    );
    for (field, query) in [
        ("me", "{ me { id } product(id: \"PROD01\") { id } }"),
        ("customer", "{ customer(id: \"CUST01\") { id } product(id: \"PROD01\") { id } }"),
        ("order", "{ order(id: \"x\") { id } product(id: \"PROD01\") { id } }"),
        ("orders", "{ orders { nodes { id } } product(id: \"PROD01\") { id } }"),
    ] {
        let response = test.run(None, query).await;
        assert_eq!(errors(&response), error("UNAUTHENTICATED", field));
        assert_eq!(response["data"], json!({field: null, "product": {"id": "PROD01"}}));
    }
}

#[tokio::test]
async fn mutations_need_a_token_and_their_scope() {
    let test = test_api();
    let order = test.placed("CUST01", "PROD01");
    let create = "mutation { createOrder(input: {items: []}) { order { id } } }".to_owned();
    let change = |field: &str, input: &str| {
        format!("mutation {{ {field}(input: {{id: \"{}\"{input}}}) {{ userErrors {{ code }} }} }}", order.id)
    };
    let cases = [
        ("createOrder", create, "orders:read orders:fulfil orders:all"),
        ("cancelOrder", change("cancelOrder", ""), "orders:read orders:fulfil orders:all"),
        ("deleteOrder", change("deleteOrder", ""), "orders:read orders:fulfil orders:all"),
        ("updateOrder", change("updateOrder", ""), "orders:read orders:all"),
        ("updateOrder", change("updateOrder", ", status: CANCELLED"), "orders:fulfil"),
        ("updateOrder", change("updateOrder", ", shippingAddress: \"x\""), "orders:fulfil"),
        ("updateOrder", change("updateOrder", ", status: SHIPPED"), "orders:write"),
        ("updateOrder", change("updateOrder", ", trackingCompany: \"x\""), "orders:write"),
        ("updateOrder", change("updateOrder", ", status: CANCELLED, trackingNumber: \"x\""), "orders:write"),
    ];
    for (field, query, scopes) in cases {
        let response = test.run(None, &query).await;
        assert_eq!(errors(&response), error("UNAUTHENTICATED", field), "{query}");
        let response = test.run(viewer("CUST01", scopes), &query).await;
        assert_eq!(errors(&response), error("FORBIDDEN", field), "{query}");
        assert_eq!(response["data"], json!({field: null}));
    }
    assert!(test.services.requests().is_empty());
    assert!(test.services.placements.lock().unwrap().is_empty());
}

#[tokio::test]
async fn orders_are_read_with_orders_read() {
    let test = test_api();
    let order = test.placed("CUST01", "PROD01");
    let caller = || viewer("CUST01", "orders:write orders:fulfil orders:all");
    for (path, query) in [
        ("order", format!("{{ order(id: \"{}\") {{ id }} }}", order.id)),
        ("orders", "{ orders { nodes { id } } }".to_owned()),
        ("me.orders", "{ me { orders { nodes { id } } } }".to_owned()),
    ] {
        assert_eq!(errors(&test.run(caller(), &query).await), error("FORBIDDEN", path));
    }
}

#[tokio::test]
async fn an_order_beyond_reach_is_as_one_that_does_not_exist() {
    let test = test_api();
    let own = test.placed("CUST01", "PROD01");
    let other = test.placed("CUST02", "PROD01");
    let query = |id: &str| format!("{{ order(id: \"{id}\") {{ customerId }} }}");
    let shown = json!({"data": {"order": {"customerId": "CUST01"}}});
    assert_eq!(test.run(ada(), &query(&own.id.to_string())).await, shown);
    let nothing = json!({"data": {"order": null}});
    for id in [&other.id.to_string(), "no id", "", "00000000000000000000000000000000", "\\u0000"] {
        assert_eq!(test.run(ada(), &query(id)).await, nothing, "{id}");
    }
    let shown = json!({"data": {"order": {"customerId": "CUST02"}}});
    assert_eq!(test.run(warehouse(), &query(&other.id.to_string())).await, shown);
}

#[tokio::test]
async fn another_customers_orders_need_orders_all() {
    let test = test_api();
    let other = test.placed("CUST02", "PROD01");
    let query = "{ orders(customerId: \"CUST02\") { nodes { id } } }";
    let response = test.run(ada(), query).await;
    assert_eq!(errors(&response), error("FORBIDDEN", "orders"));
    let seen = json!({"data": {"orders": {"nodes": [{"id": other.id.to_string()}]}}});
    assert_eq!(test.run(warehouse(), query).await, seen);
    let own = test.run(ada(), "{ orders(customerId: \"CUST01\") { nodes { id } } }").await;
    assert_eq!(own, json!({"data": {"orders": {"nodes": []}}}));
    let malformed = test.run(warehouse(), "{ orders(customerId: \"a\\u0007b\") { nodes { id } } }").await;
    assert_eq!(errors(&malformed), error("BAD_USER_INPUT", "orders"));
}

#[tokio::test]
async fn the_orders_of_all_customers_need_orders_all() {
    let test = test_api();
    let first = test.placed("CUST01", "PROD01").id.to_string();
    let second = test.placed("CUST02", "PROD01").id.to_string();
    let all = "{ orders(allCustomers: true) { nodes { id } } }";
    assert_eq!(errors(&test.run(None, all).await), error("UNAUTHENTICATED", "orders"));
    assert_eq!(errors(&test.run(ada(), all).await), error("FORBIDDEN", "orders"));
    let unread = viewer("WAREHOUSE", "orders:fulfil orders:all");
    assert_eq!(errors(&test.run(unread, all).await), error("FORBIDDEN", "orders"));
    let of_both = r#"{ orders(allCustomers: true, customerId: "CUST01") { nodes { id } } }"#;
    assert_eq!(errors(&test.run(ada(), of_both).await), error("FORBIDDEN", "orders"));
    assert_eq!(errors(&test.run(warehouse(), of_both).await), error("BAD_USER_INPUT", "orders"));
    assert!(test.services.requests().is_empty());

    let seen = json!({"data": {"orders": {"nodes": [{"id": second}, {"id": first}]}}});
    assert_eq!(test.run(warehouse(), all).await, seen);
    assert_eq!(owners(&test.services.requests_for("order.list")), [json!("any")]);
    for own in ["{ orders { nodes { id } } }", "{ orders(allCustomers: false) { nodes { id } } }"] {
        let seen = test.run(warehouse(), own).await;
        assert_eq!(seen, json!({"data": {"orders": {"nodes": []}}}), "without allCustomers: one's own");
    }
}

#[tokio::test]
async fn a_customer_is_oneself_or_anybody_with_orders_all() {
    let test = test_api();
    let query = |id: &str| format!("{{ customer(id: \"{id}\") {{ name phone shippingAddress }} }}");
    let found = |id: &str| {
        let address = format!("1 {id} Street");
        json!({"data": {"customer": {"name": format!("Name of {id}"), "phone": null, "shippingAddress": address}}})
    };
    assert_eq!(test.run(viewer("CUST01", ""), &query("CUST01")).await, found("CUST01"));
    let response = test.run(ada(), &query("CUST02")).await;
    assert_eq!(errors(&response), error("FORBIDDEN", "customer"));
    assert_eq!(test.run(warehouse(), &query("CUST02")).await, found("CUST02"));
    for id in ["UNKNOWN", "", "a\\u0000b"] {
        assert_eq!(test.run(warehouse(), &query(id)).await, json!({"data": {"customer": null}}), "{id}");
    }
    assert_eq!(
        test.run(viewer("STRANGER", ALL_SCOPES), "{ me { id } }").await,
        json!({"data": {"me": null}})
    );
}

#[tokio::test]
async fn an_order_of_an_unknown_customer_still_shows_a_customer_with_its_id() {
    let test = test_api();
    test.placed("STRANGER", "PROD01");
    let query = "{ orders { nodes { customer { id name email phone shippingAddress } } } }";
    let response = test.run(viewer("STRANGER", ALL_SCOPES), query).await;
    let customer = json!({"id": "STRANGER", "name": "", "email": "", "phone": null, "shippingAddress": ""});
    assert_eq!(response, json!({"data": {"orders": {"nodes": [{"customer": customer}]}}}));
}

#[tokio::test]
async fn requests_carry_the_scope_of_the_viewer() {
    let test = test_api();
    let order = test.placed("CUST01", "PROD01");
    let query = format!("{{ order(id: \"{}\") {{ history {{ version }} }} }}", order.id);
    let own = json!({"customerId": "CUST01"});
    test.run(ada(), &query).await;
    assert_eq!(owners(&test.services.requests_for("order.get")), std::slice::from_ref(&own));
    test.run(warehouse(), &query).await;
    assert_eq!(owners(&test.services.requests_for("order.get")), [json!("any")]);
    test.run(warehouse(), &query).await;
    assert_eq!(owners(&test.services.requests_for("order.history")), [own]);
}

fn owners(asked: &[Value]) -> Vec<Value> {
    asked.iter().flat_map(|data| data.as_array().unwrap()).map(|item| item["owner"].clone()).collect()
}
