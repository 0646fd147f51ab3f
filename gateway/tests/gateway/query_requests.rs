//! What a request means beside its document: which operation runs, with which variables, and what is answered to a
//! document that is only named.

use serde_json::{Value, json};

use crate::kit::{ApiGateway, TRANSPORTS, Transport};

fn only_error(response: &Value) -> (&str, &str) {
    assert!(response.get("data").is_none(), "{response}");
    assert_eq!(response["errors"].as_array().map(Vec::len), Some(1), "{response}");
    let error = &response["errors"][0];
    (error["extensions"]["code"].as_str().unwrap(), error["message"].as_str().unwrap())
}

#[tokio::test]
async fn operations_that_were_not_chosen_are_neither_limited_nor_given_variables() {
    let api = ApiGateway::start().await;
    let roots: String = (0..30).map(|number| format!("a{number}: me {{ id }} ")).collect();
    let deep = format!("me {{ {} id {} }}", "orders { nodes { customer {".repeat(10), "}}}".repeat(10));
    let others = format!(
        "query Wide {{ {roots} }} query Deep {{ {deep} }}
         query Huge {{ orders(first: 100) {{ nodes {{ customer {{ orders(first: 100) {{ nodes {{ customer {{
             orders(first: 100) {{ nodes {{ id }} }} }} }} }} }} }} }} }}
         query Strict($id: ID!, $n: Int!) {{ product(id: $id) {{ id }} orders(first: $n) {{ nodes {{ id }} }} }}
         mutation Create($id: ID!) {{ createOrder(input: {{items: {{productId: $id, quantity: 1}}}}) {{ replayed }} }}
         query Plain($n: String) {{ me {{ id }} products(first: 1, search: $n) {{ nodes {{ id }} }} }}"
    );
    for transport in TRANSPORTS {
        let run = async |name: &str, variables: Value| {
            let request = json!({ "query": others, "operationName": name, "variables": variables });
            api.send(transport, &request.to_string()).await
        };
        // The variables that are given fit the chosen operation alone.
        let plain = run("Plain", json!({ "n": "Product 1", "id": null, "other": [] })).await;
        let products = json!({ "nodes": [{ "id": "PROD01" }] });
        assert_eq!(plain, json!({ "data": { "me": { "id": "CUST01" }, "products": products } }));
        for name in ["Wide", "Deep", "Huge"] {
            let response = run(name, json!({})).await;
            assert_eq!(only_error(&response).0, "QUERY_TOO_COMPLEX", "{name}");
        }
        let strict = run("Strict", json!({ "id": "PROD01" })).await;
        let required = "the variable $n of type Int! is required";
        assert_eq!(only_error(&strict), ("GRAPHQL_VALIDATION_FAILED", required));
        assert_eq!(api.orders_sent(), 0);
    }
}

#[tokio::test]
async fn variables_that_are_not_of_their_declared_types_stop_the_request_before_anything_runs() {
    let api = ApiGateway::start().await;
    let create = "mutation($i: CreateOrderInput!) { first: createOrder(input: {items: {productId: \"PROD01\",
        quantity: 1}}) { replayed } createOrder(input: $i) { replayed } }";
    let key = "mutation($k: String!) { createOrder(input: {items: {productId: \"PROD01\", quantity: 1},
        idempotencyKey: $k}) { replayed } }";
    let items = "mutation($i: [OrderItemInput!]!) { createOrder(input: {items: $i}) { replayed } }";
    let orders = "query($n: Int, $s: [OrderStatus!]) { orders(first: $n, statuses: $s) { nodes { id } } }";
    let skip = "query($b: Boolean!) { me { id @skip(if: $b) } }";
    let after = "query($t: String) { orders(after: $t) { nodes { id } } }";
    let updates = "subscription($o: ID!) { orderUpdated(orderId: $o) { kind } }";
    let item = |item: &str| format!(r#"{{"i": {{"items": [{{"productId": "P", "quantity": 1}}, {item}]}}}}"#);
    let long = format!(r#"{{"n": "{}"}}"#, "x".repeat(500));
    let cases: Vec<(&str, String, String)> = [
        (key, r#"{"k": null}"#, "$k of type String! must not be null"),
        (key, "{}", "$k of type String! is required"),
        (key, r#"{"k": 1}"#, "$k is not a value of type String: 1"),
        (key, r#"{"k": ["a"]}"#, r#"$k is not a value of type String: ["a"]"#),
        (updates, r#"{"o": null}"#, "$o of type ID! must not be null"),
        (updates, "{}", "$o of type ID! is required"),
        (updates, r#"{"o": true}"#, "$o is not a value of type ID: true"),
        (updates, r#"{"o": 1.5}"#, "$o is not a value of type ID: 1.5"),
        (skip, r#"{"b": "true"}"#, r#"$b is not a value of type Boolean: "true""#),
        (skip, r#"{"b": 1}"#, "$b is not a value of type Boolean: 1"),
        (after, r#"{"t": true}"#, "$t is not a value of type String: true"),
        (orders, r#"{"n": 2147483648}"#, "$n is not a value of type Int: 2147483648"),
        (orders, r#"{"n": -2147483649}"#, "$n is not a value of type Int: -2147483649"),
        (orders, r#"{"n": 2.5}"#, "$n is not a value of type Int: 2.5"),
        (orders, r#"{"n": "2"}"#, r#"$n is not a value of type Int: "2""#),
        (orders, r#"{"n": 1e99}"#, "$n is not a value of type Int: 1e99"),
        (orders, r#"{"n": true}"#, "$n is not a value of type Int: true"),
        (orders, r#"{"n": [1]}"#, "$n is not a value of type Int: [1]"),
        (orders, r#"{"s": "shipped"}"#, r#"$s is not a value of type OrderStatus: "shipped""#),
        (orders, r#"{"s": ["SHIPPED", null]}"#, "$s is invalid: s[1] of type OrderStatus! must not be null"),
        (orders, r#"{"s": ["SHIPPED", 3]}"#, "$s is invalid: s[1] is not a value of type OrderStatus: 3"),
        (
            orders,
            r#"{"s": [["SHIPPED"]]}"#,
            r#"$s is invalid: s[0] is not a value of type OrderStatus: ["SHIPPED"]"#,
        ),
        (
            items,
            r#"{"i": [{"productId": "P", "quantity": 1}, null]}"#,
            "$i is invalid: i[1] of type OrderItemInput! must not be null",
        ),
        (create, r#"{"i": "x"}"#, r#"$i is not a value of type CreateOrderInput: "x""#),
        (create, r#"{"i": []}"#, "$i is not a value of type CreateOrderInput: []"),
        (create, r#"{"i": {}}"#, "$i is invalid: i.items of type [OrderItemInput!]! is required"),
        (
            create,
            r#"{"i": {"items": [], "colour": 1}}"#,
            "$i has no field colour: the type is CreateOrderInput",
        ),
    ]
    .into_iter()
    .map(|(query, variables, problem)| (query, variables.to_owned(), problem.to_owned()))
    .chain([
        (create, item("{}"), "$i is invalid: i.items[1].productId of type ID! is required".to_owned()),
        (
            create,
            item(r#"{"productId": "P", "quantity": "2"}"#),
            r#"$i is invalid: i.items[1].quantity is not a value of type Int: "2""#.to_owned(),
        ),
        (
            create,
            item(r#"{"productId": "P", "quantity": 1, "unit": 1}"#),
            "$i is invalid: i.items[1] has no field unit: the type is OrderItemInput".to_owned(),
        ),
        (orders, long, format!("$n is not a value of type Int: \"{}…", "x".repeat(59))),
    ])
    .collect();
    for transport in TRANSPORTS {
        for (query, variables, problem) in &cases {
            let response = api.run(transport, query, variables).await;
            assert!(response.get("data").is_none(), "{variables}: {response}");
            let error = &response["errors"][0];
            assert_eq!(error["message"], format!("the variable {problem}"), "{variables}");
            assert_eq!(error["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED");
            assert_eq!(error["locations"][0]["line"], 1, "{response}");
        }
        assert_eq!(api.orders_sent(), 0);
        assert!(api.services.requests().is_empty());
    }
}

#[tokio::test]
async fn everything_that_is_wrong_with_variables_is_listed_within_a_bound() {
    let api = ApiGateway::start().await;
    let query =
        "mutation($k: String!, $i: [OrderItemInput!]!) { createOrder(input: {items: $i, idempotencyKey: $k})
        { replayed } }";
    for transport in TRANSPORTS {
        let response = api.run(transport, query, r#"{"i": [{"quantity": "1"}]}"#).await;
        let messages: Vec<_> = response["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| error["message"].as_str().unwrap())
            .collect();
        let expected = [
            "the variable $k of type String! is required",
            "the variable $i is invalid: i[0].productId of type ID! is required",
            r#"the variable $i is invalid: i[0].quantity is not a value of type Int: "1""#,
        ];
        assert_eq!(messages, expected);
        let many = json!({ "k": "k", "i": vec![json!({}); 500] }).to_string();
        let response = api.run(transport, query, &many).await;
        assert_eq!(response["errors"].as_array().unwrap().len(), 20);
    }
}

#[tokio::test]
async fn a_document_that_is_only_named_is_asked_for() {
    let api = ApiGateway::start().await;
    let extensions = r#""extensions": {"persistedQuery": {"version": 1, "sha256Hash": "abc"}}"#;
    for transport in TRANSPORTS {
        for request in [
            format!("{{{extensions}}}"),
            format!(r#"{{"query": null, {extensions}}}"#),
            format!(r#"{{"operationName": "Q", "variables": {{"a": 1}}, {extensions}}}"#),
        ] {
            let response = api.send(transport, &request).await;
            let expected = ("PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound");
            assert_eq!(only_error(&response), expected, "{request}");
        }
    }
}

#[tokio::test]
async fn a_socket_goes_on_after_a_document_that_is_only_named_and_ends_after_a_request_for_none() {
    let api = ApiGateway::start().await;
    let mut socket = api.socket().await;
    let named = json!({ "extensions": { "persistedQuery": { "version": 1, "sha256Hash": "abc" } } });
    socket.send(json!({ "type": "subscribe", "id": "1", "payload": named })).await;
    assert_eq!(socket.next().await["type"], "error");
    socket.subscribe("1", "{ me { id } }").await;
    assert_eq!(socket.next().await["payload"]["data"]["me"]["id"], "CUST01");
    assert_eq!(socket.next().await["type"], "complete");
    socket
        .send(json!({ "type": "subscribe", "id": "2", "payload": { "extensions": { "persistedQuery": 1 } } }))
        .await;
    assert_eq!(socket.closed().await, (4400, "query is missing".to_owned()));
}

#[tokio::test]
async fn introspection_answers_what_the_specification_has() {
    let api = ApiGateway::start().await;
    let query = "query($d: Boolean) { __schema { description queryType { name } directives { name isRepeatable } }
        order: __type(name: \"Order\") { name kind isOneOf fields(includeDeprecated: $d) { name args { name } } }
        input: __type(name: \"OrderItemInput\") { isOneOf inputFields { name defaultValue } }
        none: __type(name: \"Unknown\") { name }
        me { id } }";
    for transport in TRANSPORTS {
        let response = api.run(transport, query, "{}").await;
        let data = &response["data"];
        assert_eq!(response.get("errors"), None, "{response}");
        assert_eq!(data["__schema"]["description"], Value::Null);
        assert_eq!(data["__schema"]["queryType"], json!({ "name": "Query" }));
        assert_eq!(data["order"]["isOneOf"], Value::Null);
        assert_eq!(data["input"]["isOneOf"], false);
        assert_eq!(data["none"], Value::Null);
        let fields = data["order"]["fields"].as_array().unwrap();
        assert!(fields.contains(&json!({ "name": "lineItems", "args": [] })), "{fields:?}");
        // A null where none is taken fails the field alone, which is nullable.
        let response = api.run(transport, query, r#"{"d": null}"#).await;
        assert_eq!(response["data"]["order"]["fields"], Value::Null);
        assert_eq!(response["data"]["me"], json!({ "id": "CUST01" }));
        assert_eq!(response["errors"][0]["path"], json!(["order", "fields"]));
    }
    // Lists of lists of lists grow with the schema's size to their depth.
    let nested = "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }";
    let response = api.run(Transport::Http, nested, "{}").await;
    assert_eq!(only_error(&response).0, "QUERY_TOO_COMPLEX");
}

/// A time that is none is the request's fault, wherever it stands, and takes no other field along.
#[tokio::test]
async fn a_value_that_its_scalar_does_not_take_stops_the_request_before_anything_runs() {
    let api = ApiGateway::start().await;
    let named = |place: &str| {
        format!("{place} is not a DateTime: it is not RFC 3339, such as 2026-11-23T19:10:51.371Z")
    };
    let typed = |place: &str| {
        format!("{place} is not a DateTime: a string is expected, such as 2026-11-23T19:10:51.371Z")
    };
    for transport in TRANSPORTS {
        for text in ["", "yesterday", "2026-11-23", "2026-11-23T19:10:51.3.371Z", "2026-13-23T19:10:51Z"] {
            let literal =
                json!({ "query": format!("{{ orders(placedFrom: {text:?}) {{ nodes {{ id }} }} }}") });
            let literal = api.send(transport, &literal.to_string()).await;
            assert_eq!(only_error(&literal), ("GRAPHQL_VALIDATION_FAILED", &*named("the value")), "{text}");
            let query = "query($t: DateTime) { orders(placedBefore: $t) { nodes { id } } }";
            let variable = json!({ "query": query, "variables": { "t": text } });
            let variable = api.send(transport, &variable.to_string()).await;
            assert_eq!(
                only_error(&variable),
                ("GRAPHQL_VALIDATION_FAILED", &*named("the variable $t")),
                "{text}"
            );
        }
        let number = json!({ "query": "{ orders(placedFrom: 1) { nodes { id } } }" });
        let number = api.send(transport, &number.to_string()).await;
        assert_eq!(only_error(&number), ("GRAPHQL_VALIDATION_FAILED", &*typed("the value")));
        let default = "query($t: DateTime = \"x\") { orders(placedBefore: $t) { nodes { id } } }";
        let default = api.send(transport, &json!({ "query": default }).to_string()).await;
        assert_eq!(only_error(&default), ("GRAPHQL_VALIDATION_FAILED", &*named("the value")));
        let right = "{ orders(first: 1, placedFrom: \"2026-11-23T19:10:51.371Z\", placedBefore: null) { nodes { id } } }";
        let right = api.send(transport, &json!({ "query": right }).to_string()).await;
        assert!(right.get("errors").is_none(), "{right}");
    }
    assert_eq!(api.orders_sent(), 0);
}
