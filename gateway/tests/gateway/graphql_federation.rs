//! The gateway as a subgraph of Apollo Federation.

use serde_json::{Value, json};

use crate::kit::{
    ApiGateway, Transport, ada, errors, test_api, test_subgraph, unavailable, viewer, warehouse,
};

const ENTITIES: &str = "query($of: [_Any!]!) { _entities(representations: $of) { __typename \
    ... on Order { id status } ... on Product { id name } ... on Customer { id email } } }";

fn of(entities: &[(&str, &str)]) -> Value {
    let representation = |(type_name, id): &(&str, &str)| json!({ "__typename": type_name, "id": id });
    json!({ "of": entities.iter().map(representation).collect::<Vec<_>>() })
}

fn found(response: &Value) -> Vec<String> {
    let entities = response["data"]["_entities"].as_array().unwrap_or_else(|| panic!("{response}")).iter();
    let shown = |entity: &Value| match entity {
        Value::Null => "null".to_owned(),
        entity => format!("{} {}", entity["__typename"].as_str().unwrap(), entity["id"].as_str().unwrap()),
    };
    entities.map(shown).collect()
}

#[tokio::test]
async fn entities_are_found_in_order_with_one_request_a_type() {
    let test = test_subgraph();
    let orders: Vec<String> = (0..3).map(|_| test.placed("CUST01", "PROD01").id.to_string()).collect();
    let asked = [
        ("Product", "PROD02"),
        ("Order", &orders[0]),
        ("Product", "NOTHING"),
        ("Customer", "CUST01"),
        ("Order", &orders[2]),
        ("Product", "PROD02"),
        ("Order", "no-uuid"),
    ];
    let response = test.run_with(ada(), ENTITIES, of(&asked)).await;
    let (first, third) = (format!("Order {}", orders[0]), format!("Order {}", orders[2]));
    assert_eq!(
        found(&response),
        ["Product PROD02", &first, "null", "Customer CUST01", &third, "Product PROD02", "null"]
    );
    assert_eq!(errors(&response), []);
    let mut requests = test.services.requests();
    requests.sort_unstable();
    assert_eq!(requests, ["customer.get", "inventory.get", "order.get"]);
}

#[tokio::test]
async fn entities_keep_the_reach_of_the_caller() {
    let test = test_subgraph();
    let order = test.placed("CUST02", "PROD01").id.to_string();
    let asked = of(&[("Order", &order), ("Customer", "CUST02"), ("Product", "PROD01")]);
    let error = |code: &str, index: usize| (code.to_owned(), format!("_entities.{index}"));

    let response = test.run_with(ada(), ENTITIES, asked.clone()).await;
    assert_eq!(found(&response), ["null", "null", "Product PROD01"]);
    assert_eq!(errors(&response), [error("FORBIDDEN", 1)]);
    let response = test.run_with(None, ENTITIES, asked.clone()).await;
    assert_eq!(errors(&response), [error("UNAUTHENTICATED", 0), error("UNAUTHENTICATED", 1)]);
    let response = test.run_with(viewer("CUST02", ""), ENTITIES, asked.clone()).await;
    assert_eq!(errors(&response), [error("FORBIDDEN", 0)]);
    let response = test.run_with(warehouse(), ENTITIES, asked).await;
    assert_eq!(
        found(&response),
        [format!("Order {order}"), "Customer CUST02".into(), "Product PROD01".into()]
    );
}

#[tokio::test]
async fn an_entity_that_fails_leaves_the_others() {
    let test = test_subgraph();
    let order = test.placed("CUST01", "PROD01").id.to_string();
    test.services.fail("inventory.get", unavailable("inventory.get"));
    let asked =
        of(&[("Product", "PROD01"), ("Order", &order), ("OrderLineItem", "1"), ("Product", "PROD02")]);
    let response = test.run_with(ada(), ENTITIES, asked).await;
    assert_eq!(found(&response), ["null".to_owned(), format!("Order {order}"), "null".into(), "null".into()]);
    let mut failed = errors(&response);
    failed.sort_unstable();
    let error = |code: &str, index: usize| (code.to_owned(), format!("_entities.{index}"));
    assert_eq!(
        failed,
        [error("BAD_USER_INPUT", 2), error("SERVICE_UNAVAILABLE", 0), error("SERVICE_UNAVAILABLE", 3)]
    );
    for bad in [
        json!({"id": "PROD01"}),
        json!({"__typename": "Product"}),
        json!({"__typename": 1, "id": "1"}),
        json!("Product"),
        json!(1),
    ] {
        let response = test.run_with(ada(), ENTITIES, json!({ "of": [bad] })).await;
        assert_eq!(errors(&response), [error("BAD_USER_INPUT", 0)]);
    }
}

#[tokio::test]
async fn routers_get_the_subgraphs_sdl_and_clients_the_api_as_ever() {
    let test = test_subgraph();
    let response = test.run(None, "{ _service { sdl } __typename }").await;
    assert_eq!(response["data"]["__typename"], "Query");
    let sdl = response["data"]["_service"]["sdl"].as_str().unwrap();
    for (part, count) in [
        ("type Order implements Node @key(fields: \"id\") {", 1),
        ("type Product implements Node @key(fields: \"id\") {", 1),
        ("type Customer implements Node @key(fields: \"id\") {", 1),
        ("@key(", 3),
        ("type PageInfo @shareable {", 1),
        ("type Subscription {", 1),
        ("_entities", 0),
        ("_Any", 0),
    ] {
        assert_eq!(sdl.matches(part).count(), count, "{part}\n{sdl}");
    }
    assert_eq!(
        test.run(None, "{ product(id: \"PROD01\") { id } }").await,
        json!({"data": {"product": {"id": "PROD01"}}})
    );
}

#[tokio::test]
async fn over_http_entities_are_valid_where_the_setting_says_so_and_unknown_elsewhere() {
    let (with, without) = (ApiGateway::over(test_subgraph()).await, ApiGateway::over(test_api()).await);
    let variables = of(&[("Product", "PROD01"), ("Product", "PROD02")]).to_string();
    let literal = "{ _entities(representations: [{__typename: \"Product\", id: \"PROD01\"}]) { ... on Product { id } } }";
    let requests = [(ENTITIES, variables.as_str()), ("{ _service { sdl } }", "{}"), (literal, "{}")];

    let response = with.run(Transport::Http, ENTITIES, &variables).await;
    assert_eq!(found(&response), ["Product PROD01", "Product PROD02"], "{response}");
    let response = with.run(Transport::Http, literal, "{}").await;
    assert_eq!(response, json!({"data": {"_entities": [{"id": "PROD01"}]}}));
    for (query, variables) in requests {
        for transport in [Transport::Http, Transport::Socket] {
            let response = with.run(transport, query, variables).await;
            assert!(response["errors"].is_null(), "{response}");
            let response = without.run(transport, query, variables).await;
            assert_eq!(
                response["errors"][0]["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED",
                "{response}"
            );
            assert!(response.get("data").is_none(), "{response}");
        }
    }

    // Entities cost as much as what is asked of each.
    let costly = "query($of: [_Any!]!) { _entities(representations: $of) { ... on Customer { orders(first: 100) { nodes { \
        lineItems { id quantity } } } } } }";
    let entities = |count: usize| of(&vec![("Customer", "CUST01"); count]).to_string();
    assert!(with.run(Transport::Http, costly, &entities(10)).await["errors"].is_null());
    let refused = with.run(Transport::Http, costly, &entities(100)).await;
    assert_eq!(refused["errors"][0]["extensions"]["code"], "QUERY_TOO_COMPLEX", "{refused}");

    let introspection = "{ __schema { types { name } queryType { fields { name } } } }";
    let (with, without) = (with.text(introspection).await, without.text(introspection).await);
    for name in ["_entities", "_service", "_Any", "_Entity", "_Service"] {
        assert!(with.contains(&format!("\"{name}\"")), "{name}");
        assert!(!without.contains(name), "{name}");
    }
    assert!(without.contains("\"node\"") && with.contains("\"node\""));
}
