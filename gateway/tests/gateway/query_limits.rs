//! Bounds on documents and on load.

use gateway::query::{DocumentLimits, DocumentSettings, LimitMode};
use serde_json::{Value, json};
use testkit::eventually;

use crate::kit::{Options, TestGateway, answer, code};

#[tokio::test]
async fn documents_beyond_a_limit_are_too_complex() {
    let gateway = TestGateway::start().await;
    let deep = format!("{{ {} id {} }}", "node {".repeat(25), "}".repeat(25));
    let nested = format!("{{ echo(text: {}{}) }}", "[".repeat(500), "]".repeat(500));
    let aliases: String = (0..60).map(|n| format!("a{n}: id ")).collect();
    let roots: String = (0..30).map(|n| format!("a{n}: hello ")).collect();
    let repeated = "id ".repeat(2500);
    let directives = "id @include(if: true) ".repeat(60);
    let long = "hello ".repeat(10_000);
    // Measured from its middle first, the chain of fragments is not found to be too long while it is measured.
    let chain: String = (0..40).map(|n| format!(" fragment F{n} on Query {{ ...F{} }}", n + 1)).collect();
    let chain = format!("{{ ...F20 ...F0 }} {chain} fragment F40 on Query {{ hello }}");
    for (name, query) in [
        ("depth", deep),
        ("nesting", nested),
        ("nested fragments", chain),
        ("aliases", format!("{{ node {{ {aliases} }} }}")),
        ("root fields", format!("{{ {roots} }}")),
        ("repeated fields", format!("{{ node {{ {repeated} }} }}")),
        ("directives", format!("{{ node {{ {directives} }} }}")),
        ("tokens", format!("{{ {long} }}")),
        ("operations", (0..51).map(|n| format!("query Q{n} {{ hello }} ")).collect()),
        ("fields of one set", format!("{{ node {{ {} }} }}", "id ".repeat(60))),
        ("complexity", format!("{{ {PAGES} }}")),
        (
            "introspection",
            format!("{{ __type(name: \"Node\") {{ {} name {} }} }}", "ofType {".repeat(16), "}".repeat(16)),
        ),
    ] {
        let (status, answer) = gateway.run(&query).await;
        assert_eq!((status, code(&answer)), (400, "QUERY_TOO_COMPLEX"), "{name}: {answer}");
    }
}

/// Costs 1 + 100 × (1 + 100 × (1 + 100)), by its lists' sizes.
const PAGES: &str = "nodes(first: 100) { nodes(last: 1000) { nodes(first: 100) { id } } }";

#[tokio::test]
async fn what_lists_ask_for_counts_whether_it_is_written_or_a_variable() {
    let gateway = TestGateway::start().await;
    let query = "query($n: Int) { nodes(first: $n) { nodes(first: 100) { nodes(first: $n) { id } } } }";
    let with = |n: Value| json!({ "query": query, "variables": { "n": n }, "extensions": { "cost": true } });
    // Without a size, lists count as 20 entries; longer than 100 no list is.
    for (n, expected) in
        [(json!(1), 202), (json!(10), 11_011), (Value::Null, 42_021), (json!(1000), 1_010_101)]
    {
        let (status, answer) = answer(gateway.post(&with(n))).await;
        if expected <= 20_000 {
            assert_eq!((status, &answer["extensions"]["cost"]["complexity"]), (200, &json!(expected)));
        } else {
            assert_eq!((status, code(&answer)), (400, "QUERY_TOO_COMPLEX"), "{answer}");
        }
    }
}

#[tokio::test]
async fn a_client_that_asks_is_told_what_its_operation_costs() {
    let gateway = TestGateway::start().await;
    let query = "query($n: Int) { a: nodes(first: $n) { id @include(if: true) } __typename }";
    let body = json!({ "query": query, "variables": { "n": 5 }, "extensions": { "cost": true } });
    let (_, told) = answer(gateway.post(&body)).await;
    let expected = json!({ "complexity": 7, "maxComplexity": 20_000, "depth": 2, "rootFields": 2, "aliases": 1,
        "directives": 1, "tokens": 29 });
    assert_eq!(told["extensions"], json!({ "cost": expected }));
    for extensions in [json!({}), json!({ "cost": false }), json!({ "cost": "true" })] {
        let body = json!({ "query": query, "extensions": extensions });
        assert_eq!(answer(gateway.post(&body)).await.1.get("extensions"), None, "{extensions}");
    }
    let mut socket = gateway.ready_socket().await;
    socket.send(json!({ "id": "1", "type": "subscribe", "payload": body })).await;
    assert_eq!(socket.next().await["payload"]["extensions"]["cost"]["complexity"], 7);
}

#[tokio::test]
async fn limits_that_are_only_measured_let_documents_pass() {
    let limits = DocumentLimits {
        mode: LimitMode::Measure,
        tokens: 10,
        depth: 2,
        root_fields: 1,
        aliases: 1,
        directives: 0,
        introspection_depth: 1,
        complexity: 3,
        ..DocumentLimits::default()
    };
    let documents = DocumentSettings { limits, ..DocumentSettings::default() };
    let gateway = TestGateway::with(Options { documents, ..Options::default() }).await;
    let query = "{ a: hello b: hello @skip(if: false) node { node { id } } __schema { queryType { name } } }";
    let (status, answer) = gateway.run(query).await;
    assert_eq!((status, answer.get("errors")), (200, None), "{answer}");
    // What would harm the gateway is refused all the same.
    let deep = format!("{{ {} id {} }}", "node {".repeat(40), "}".repeat(40));
    assert_eq!(code(&gateway.run(&deep).await.1), "QUERY_TOO_COMPLEX");
}

#[tokio::test]
async fn without_introspection_the_schema_is_not_shown_and_nothing_is_suggested() {
    let documents = DocumentSettings { introspection: false, ..DocumentSettings::default() };
    let gateway = TestGateway::with(Options { documents, playground: None, ..Options::default() }).await;
    for query in [
        "{ __schema { queryType { name } } }",
        "{ hello ...F } fragment F on Query { t: __type(name: \"Query\") { name } }",
        "query($no: Boolean = false) { __schema @include(if: $no) { queryType { name } } }",
    ] {
        let (status, answer) = gateway.run(query).await;
        assert_eq!((status, code(&answer)), (400, "GRAPHQL_VALIDATION_FAILED"), "{query}");
        assert_eq!(answer["errors"][0]["message"], "introspection is turned off");
    }
    assert_eq!(gateway.run("{ __typename }").await.0, 200);
    for nearly in ["{ helo }", "{ node }", "{ echo(txt: \"a\") }", "{ nodes(frist: 1) { id } }"] {
        let message = gateway.run(nearly).await.1.to_string();
        assert!(!message.contains("Did you mean") && !message.contains("hello"), "{message}");
    }
    let page = gateway.http.get(gateway.url("/")).send().await.unwrap();
    assert_eq!(page.status(), 404);
    assert_eq!(code(&page.json().await.unwrap()), "BAD_USER_INPUT");
}

#[tokio::test]
async fn one_mistake_in_many_places_is_one_error() {
    let gateway = TestGateway::start().await;
    let (_, answer) = gateway.run("{ __typename @aa@aa@aa@aa@aa@aa@aa@aa@aa@aa }").await;
    assert_eq!(answer["errors"].as_array().unwrap().len(), 1, "{answer}");
    assert_eq!(answer["errors"][0]["locations"].as_array().unwrap().len(), 10);
}

#[tokio::test]
async fn introspection_is_within_the_limits() {
    let gateway = TestGateway::start().await;
    let of_type = "ofType { kind name ".repeat(9) + &"}".repeat(9);
    let query = format!(
        "query {{ __schema {{ queryType {{ name }} types {{ ...Full }} directives {{ name args {{ ...In }} }} }} }}
         fragment Full on __Type {{ kind name fields(includeDeprecated: true) {{ name args {{ ...In }} type {{ ...Ref }} }}
           inputFields {{ ...In }} interfaces {{ ...Ref }} enumValues {{ name }} possibleTypes {{ ...Ref }} }}
         fragment In on __InputValue {{ name type {{ ...Ref }} defaultValue }}
         fragment Ref on __Type {{ kind name {of_type} }}"
    );
    let (status, answer) = gateway.run(&query).await;
    assert_eq!((status, answer.get("errors")), (200, None), "{answer}");
}

#[tokio::test]
async fn a_gateway_at_its_bound_refuses_at_once_and_recovers() {
    let gateway = TestGateway::with_limits(|limits| limits.max_concurrent_requests = 1).await;
    let held = gateway.post(&json!({ "query": "{ never }" }));
    let held = tokio::spawn(held.send());

    let refused = eventually("a request is refused", async || {
        let response = gateway.post(&json!({ "query": "{ hello }" })).send().await.unwrap();
        (response.status() == 503).then_some(response)
    })
    .await;
    assert_eq!(refused.headers()["retry-after"], "1");
    let answer: Value = refused.json().await.unwrap();
    assert_eq!(code(&answer), "OVERLOADED");
    assert_eq!(answer["errors"][0]["extensions"]["outcome"], "NONE");
    assert_eq!(answer["errors"][0]["extensions"]["retryable"], true);

    // The client that was being served goes away, and its place is free again.
    held.abort();
    eventually("a request is served again", async || (gateway.run("{ hello }").await.0 == 200).then_some(()))
        .await;
}
