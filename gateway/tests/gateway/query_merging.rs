//! What an operation selects: fields of one response key are merged, conditions decide with the variables' defaults, and a
//! field that fails leaves its siblings alone.

use std::sync::atomic::Ordering::SeqCst;

use serde_json::{Value, json};
use testkit::eventually;

use crate::kit::{ApiGateway, TRANSPORTS, TestGateway, through_socket};

const INPUT: &str = r#"input: {items: [{productId: "PROD08", quantity: 1}]}"#;

#[tokio::test]
async fn a_root_field_that_is_selected_twice_runs_once() {
    let api = ApiGateway::start().await;
    let a = format!("fragment A on Mutation {{ createOrder({INPUT}) {{ order {{ status }} }} }}");
    let b = format!("fragment B on Mutation {{ createOrder({INPUT}) {{ order {{ customerId }} }} }}");
    let create = |selection: &str| format!("createOrder({INPUT}) {{ {selection} }}");
    let (status, customer) = (create("order { status }"), create("order { customerId }"));
    for document in [
        format!("mutation {{ {status} {customer} }}"),
        format!("mutation {{ ...A ...B }} {a} {b}"),
        format!("mutation {{ ...A {customer} ...A }} {a}"),
        format!("mutation {{ ... {{ {status} }} ... on Mutation {{ ... on Mutation {{ {customer} }} }} }}"),
        format!("mutation {{ createOrder({INPUT}) {{ ...P ...Q }} }} fragment P on CreateOrderPayload {{ order {{ status }} }}
            fragment Q on CreateOrderPayload {{ order {{ customerId }} }}"),
        format!("mutation {{ {} }}", create("order { status ...O } order { ...O }"))
            + "fragment O on Order { customerId }",
        format!("mutation {{ createOrder: {status} {customer} }}"),
    ] {
        for transport in TRANSPORTS {
            let response = api.run(transport, &document, "{}").await;
            let order = json!({ "order": { "status": "PROCESSING", "customerId": "CUST01" } });
            assert_eq!(response, json!({ "data": { "createOrder": order } }), "{document}");
            assert_eq!(api.orders_sent(), 1, "{document}");
        }
    }
}

#[tokio::test]
async fn fields_of_one_response_key_are_merged_on_every_level_of_a_query() {
    let api = ApiGateway::start().await;
    let document = "{ products(first: 1) { nodes { id } ...P } p: product(id: \"PROD01\") { id }
            products(first: 1) { edges { node { name } } nodes { name } } ...Q }
        fragment P on ProductConnection { nodes { unitPrice { amount } } edges { node { id } cursor @skip(if: true) } }
        fragment Q on Query { p: product(id: \"PROD01\") { name } products(first: 1) { nodes { id unitPrice { currencyCode } } } }";
    for transport in TRANSPORTS {
        let response = api.run(transport, document, "{}").await;
        let price = json!({ "amount": "14.50", "currencyCode": "USD" });
        let node = json!({ "id": "PROD01", "unitPrice": price, "name": "Product 1" });
        let edge = json!({ "node": { "name": "Product 1", "id": "PROD01" } });
        let products = json!({ "nodes": [node], "edges": [edge] });
        let data = json!({ "products": products, "p": { "id": "PROD01", "name": "Product 1" } });
        assert_eq!(response["data"], data);
        let mut requests = api.services.requests();
        requests.sort();
        assert_eq!(requests, ["inventory.get", "inventory.list"]);
    }
    // Keys stand in the order of their first fields.
    let text = api.text(document).await;
    let keys =
        ["products", "nodes", "id", "unitPrice", "amount", "currencyCode", "name", "edges", "node", "p"];
    let places: Vec<_> = keys.iter().map(|key| text.find(&format!("{key:?}:")).unwrap()).collect();
    assert!(places.is_sorted(), "{text}");
}

#[tokio::test]
async fn a_condition_has_its_variables_default() {
    let api = ApiGateway::start().await;
    let create = format!("createOrder({INPUT}) {{ order {{ status }} }}");
    let conditional = |declared: &str, directives: &str| {
        let create = create.replace(") {", &format!(") {directives} {{"));
        format!("mutation({declared}) {{ {create} }}")
    };
    for (declared, directives, variables, runs) in [
        ("$dry: Boolean = true", "@skip(if: $dry)", "{}", false),
        ("$dry: Boolean = true", "@skip(if: $dry)", r#"{"dry": false}"#, true),
        ("$dry: Boolean = true", "@skip(if: $dry)", r#"{"dry": true}"#, false),
        ("$dry: Boolean! = true", "@skip(if: $dry)", "{}", false),
        ("$dry: Boolean = false", "@skip(if: $dry)", "{}", true),
        ("$go: Boolean = false", "@include(if: $go)", "{}", false),
        ("$go: Boolean = false", "@include(if: $go)", r#"{"go": true}"#, true),
        ("$go: Boolean! = true", "@include(if: $go)", "{}", true),
        ("$go: Boolean! = true", "@include(if: $go) @skip(if: $go)", "{}", false),
        ("$go: Boolean! = false", "@include(if: true) @skip(if: $go)", "{}", true),
        // As the specification has it, a null is not true.
        ("$go: Boolean = true", "@include(if: $go)", r#"{"go": null}"#, false),
        ("$dry: Boolean = true", "@skip(if: $dry)", r#"{"dry": null}"#, true),
    ] {
        let document = conditional(declared, directives);
        let fragments = format!(
            "mutation({declared}) {{ ...F {directives} }} fragment F on Mutation {{ ... {{ {create} }} }}"
        );
        let inline = format!("mutation({declared}) {{ ... on Mutation {directives} {{ {create} }} }}");
        for document in [document, fragments, inline] {
            for transport in TRANSPORTS {
                let response = api.run(transport, &document, variables).await;
                let expected = match runs {
                    true => json!({ "createOrder": { "order": { "status": "PROCESSING" } } }),
                    false => json!({}),
                };
                assert_eq!(response, json!({ "data": expected }), "{document} {variables}");
                assert_eq!(api.orders_sent(), usize::from(runs), "{document} {variables}");
            }
        }
    }
}

#[tokio::test]
async fn a_field_is_selected_if_one_of_its_places_is() {
    let api = ApiGateway::start().await;
    let document = "query($x: Boolean!) { __typename @include(if: $x) me { id @include(if: $x) id @skip(if: $x) name @skip(if: $x) }
        ...F @include(if: $x) ...F } fragment F on Query { me { email } }";
    for transport in TRANSPORTS {
        for (x, expected) in [
            (true, json!({ "__typename": "Query", "me": { "id": "CUST01", "email": "CUST01@example.com" } })),
            (
                false,
                json!({ "me": { "id": "CUST01", "name": "Name of CUST01", "email": "CUST01@example.com" } }),
            ),
        ] {
            let response = api.run(transport, document, &json!({ "x": x }).to_string()).await;
            assert_eq!(response, json!({ "data": expected }));
        }
        let nothing = "query($x: Boolean = false) { __typename @include(if: $x) }";
        assert_eq!(api.run(transport, nothing, "{}").await, json!({ "data": {} }));
        let empty = "{ products(first: 1) { nodes { id @skip(if: true) } ... @include(if: false) { edges { cursor } } } }";
        let response = api.run(transport, empty, "{}").await;
        assert_eq!(response, json!({ "data": { "products": { "nodes": [{}] } } }));
    }
}

#[tokio::test]
async fn an_argument_has_its_default_if_its_variable_is_left_out() {
    let api = ApiGateway::start().await;
    let document =
        format!("mutation($w: Boolean) {{ createOrder({INPUT}, wait: $w) {{ order {{ status }} }} }}");
    for transport in TRANSPORTS {
        for (variables, status) in
            [("{}", "PROCESSING"), (r#"{"w": true}"#, "PROCESSING"), (r#"{"w": false}"#, "PENDING")]
        {
            let response = api.run(transport, &document, variables).await;
            assert_eq!(response["data"]["createOrder"]["order"]["status"], status, "{variables}");
        }
        assert_eq!(api.orders_sent(), 3);
    }
}

#[tokio::test]
async fn a_null_where_an_argument_takes_none_fails_its_field_alone() {
    let api = ApiGateway::start().await;
    let create =
        |key: &str, wait: &str| format!("{key}: createOrder({INPUT}{wait}) {{ order {{ status }} }}");
    let document = format!(
        "mutation($w: Boolean, $q: Int = 1, $i: [OrderItemInput!] = []) {{ {} {} {} {} {} }}",
        create("first", ""),
        create("second", ", wait: $w"),
        "third: createOrder(input: {items: [{productId: \"PROD08\", quantity: $q}]}) { order { status } }",
        "fourth: createOrder(input: {items: $i}) { order { status } }",
        create("fifth", ""),
    );
    for transport in TRANSPORTS {
        let response = api.run(transport, &document, r#"{"w": null, "q": null, "i": null}"#).await;
        let placed = json!({ "order": { "status": "PROCESSING" } });
        let data = json!({ "first": placed, "second": null, "third": null, "fourth": null, "fifth": placed });
        assert_eq!(response["data"], data);
        let errors = response["errors"].as_array().unwrap();
        let shown = |error: &Value| {
            (error["path"].clone(), error["message"].clone(), error["extensions"]["code"].clone())
        };
        let expected = |field: &str, message: &str| (json!([field]), json!(message), json!("BAD_USER_INPUT"));
        assert_eq!(
            errors.iter().map(shown).collect::<Vec<_>>(),
            [
                expected("second", "the argument wait of type Boolean! must not be null"),
                expected("third", "the argument input at items at quantity of type Int! must not be null"),
                expected("fourth", "the argument input at items of type [OrderItemInput!]! must not be null"),
            ]
        );
        assert_eq!(api.orders_sent(), 2);
    }
    let query = "query($a: ID = \"1\") { product(id: $a) { id } me { id } o: order(id: $a) { id } }";
    for transport in TRANSPORTS {
        let response = api.run(transport, query, r#"{"a": null}"#).await;
        assert_eq!(response["data"], json!({ "product": null, "me": { "id": "CUST01" }, "o": null }));
        assert_eq!(response["errors"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn a_subscription_whose_root_field_stands_in_fragments_begins_once() {
    let gateway = TestGateway::start().await;
    let mut socket = gateway.ready_socket().await;
    for document in [
        "subscription { ...A } fragment A on Subscriptions { n: count(to: 2) }",
        "subscription { n: count(to: 2) n: count(to: 2) }",
        "subscription { ...A ... on Subscriptions { ... { n: count(to: 2) } } ...A }
            fragment A on Subscriptions { n: count(to: 2) }",
    ] {
        socket.subscribe("s", document).await;
        for number in 1..=2 {
            let next = json!({ "type": "next", "id": "s", "payload": { "data": { "n": number } } });
            assert_eq!(socket.next().await, next, "{document}");
        }
        assert_eq!(socket.next().await, json!({ "type": "complete", "id": "s" }), "{document}");
    }
    let merged = "subscription($x: Boolean = true) { ticks { value } ...A }
        fragment A on Subscriptions { ticks { of: __typename value @skip(if: $x) } }";
    socket.subscribe("s", merged).await;
    eventually("the subscription runs", async || gateway.inside.running.load(SeqCst) == 1).await;
    gateway.inside.ticks.send(7).unwrap();
    let message = socket.next().await;
    assert_eq!(message["payload"]["data"]["ticks"], json!({ "value": 7, "of": "Tick" }), "{message}");
}

#[tokio::test]
async fn a_subscription_whose_arguments_have_no_value_does_not_begin() {
    let gateway = TestGateway::start().await;
    let mut socket = gateway.ready_socket().await;
    let query = "subscription($to: Int = 1) { count(to: $to) }";
    let request = json!({ "query": query, "variables": { "to": null } }).to_string();
    let response = through_socket(&mut socket, "s", &request).await;
    assert!(response.get("data").is_none(), "{response}");
    assert_eq!(response["errors"][0]["message"], "the argument to of type Int! must not be null");
    assert_eq!(response["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
}
