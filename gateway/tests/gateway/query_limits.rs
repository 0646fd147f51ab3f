//! Bounds on documents and on load.

use serde_json::{Value, json};
use testkit::eventually;

use crate::kit::{TestGateway, code};

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
        ("complexity", "{ expensive }".to_owned()),
    ] {
        let (status, answer) = gateway.run(&query).await;
        assert_eq!((status, code(&answer)), (400, "QUERY_TOO_COMPLEX"), "{name}");
    }
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
