//! Documents that requests name: trusted ones of a manifest, those that clients register, and batches of requests.

use gateway::query::{PersistedSettings, TrustMode, TrustedDocuments};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::kit::{Options, TestGateway, answer, code};

const HELLO: &str = "query Hello { hello }";
const ECHO: &str = "query Echo($text: String!) { echo(text: $text) }";
const TICKS: &str = "subscription Count { count(to: 1) }";

fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn gateway(persisted: PersistedSettings) -> TestGateway {
    TestGateway::with(Options { persisted, ..Options::default() }).await
}

async fn trusting(mode: TrustMode, manifest: Value) -> TestGateway {
    let trusted = TrustedDocuments::parse(&manifest.to_string(), mode).ok();
    assert!(trusted.is_some());
    gateway(PersistedSettings { trusted, ..PersistedSettings::default() }).await
}

/// As Relay and graphql-codegen write it.
fn manifest() -> Value {
    json!({ "1f3c": HELLO, sha256(ECHO): ECHO, "ticks": TICKS })
}

async fn ask(gateway: &TestGateway, body: Value) -> (u16, Value) {
    answer(gateway.post(&body)).await
}

fn persisted_query(hash: &str) -> Value {
    json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } })
}

#[tokio::test]
async fn a_trusted_document_is_named_in_each_clients_way() {
    let apollos = json!({ "format": "apollo-persisted-query-manifest", "version": 1, "operations": [
        { "id": "1f3c", "body": HELLO, "name": "Hello", "type": "query" },
        { "id": sha256(ECHO), "body": ECHO, "name": "Echo", "type": "query" },
    ] });
    let hello = json!({ "data": { "hello": "world" } });
    for manifest in [manifest(), apollos] {
        let gateway = trusting(TrustMode::Enforce, manifest).await;
        for body in [
            json!({ "documentId": "1f3c" }),
            json!({ "doc_id": "1f3c", "variables": {} }),
            json!({ "extensions": persisted_query("1f3c") }),
            json!({ "query": null, "extensions": persisted_query("1f3c") }),
            json!({ "query": "", "documentId": "1f3c" }),
            json!({ "query": HELLO }),
        ] {
            assert_eq!(ask(&gateway, body.clone()).await, (200, hello.clone()), "{body}");
        }
        let prefixed = format!("sha256:{}", sha256(ECHO));
        let (_, echo) = ask(&gateway, json!({ "documentId": prefixed, "variables": { "text": "a" } })).await;
        assert_eq!(echo["data"]["echo"], "a");
        let get = gateway.http.get(gateway.url("/graphql?documentId=1f3c")).header("authorization", "");
        let get = get.header("apollo-require-preflight", "true");
        assert_eq!(answer(get).await.0, 401, "an empty token is a bad one");
        let get = gateway.http.get(gateway.url("/graphql?documentId=1f3c"));
        assert_eq!(answer(get.header("apollo-require-preflight", "true")).await, (200, hello.clone()));
    }
}

#[tokio::test]
async fn where_trusted_documents_are_enforced_no_other_is_executed() {
    let gateway = trusting(TrustMode::Enforce, manifest()).await;
    for query in ["{ hello }", "mutation { bump }", "{ __schema { queryType { name } } }", "{"] {
        for extensions in [json!({}), persisted_query(&sha256(query))] {
            let (status, answer) = ask(&gateway, json!({ "query": query, "extensions": extensions })).await;
            assert_eq!((status, code(&answer)), (400, "QUERY_NOT_IN_SAFELIST"), "{query}");
        }
        // Nor was it registered.
        let (_, answer) = ask(&gateway, json!({ "extensions": persisted_query(&sha256(query)) })).await;
        assert_eq!(code(&answer), "PERSISTED_QUERY_NOT_FOUND");
    }
    let mut socket = gateway.ready_socket().await;
    socket.subscribe("1", "subscription { count(to: 1) }").await;
    assert_eq!(socket.next().await["payload"][0]["extensions"]["code"], "QUERY_NOT_IN_SAFELIST");
    socket.send(json!({ "type": "subscribe", "id": "2", "payload": { "documentId": "ticks" } })).await;
    assert_eq!(socket.next().await["payload"]["data"], json!({ "count": 1 }));
    assert_eq!(socket.next().await["type"], "complete");
    socket.send(json!({ "type": "subscribe", "id": "3", "payload": { "documentId": "none" } })).await;
    assert_eq!(socket.next().await["payload"][0]["extensions"]["code"], "PERSISTED_QUERY_NOT_FOUND");
}

#[tokio::test]
async fn documents_that_are_only_logged_are_executed_and_may_be_registered() {
    let gateway = trusting(TrustMode::Log, manifest()).await;
    assert_eq!(gateway.run("{ hello }").await.0, 200);
    let (status, _) = ask(&gateway, json!({ "documentId": "1f3c" })).await;
    assert_eq!(status, 200);
    let query = "{ number(value: 3) }";
    let register = json!({ "query": query, "extensions": persisted_query(&sha256(query)) });
    assert_eq!(ask(&gateway, register).await.1["data"]["number"], 3);
    let named = json!({ "extensions": persisted_query(&sha256(query)) });
    assert_eq!(ask(&gateway, named).await.1["data"]["number"], 3);
}

#[tokio::test]
async fn a_client_registers_its_document_by_hash_once_and_names_it_from_then_on() {
    let gateway = gateway(PersistedSettings::default()).await;
    let extensions = persisted_query(&sha256(ECHO));
    let named = json!({ "extensions": extensions, "variables": { "text": "a" } });
    let (_, unknown) = ask(&gateway, named.clone()).await;
    assert_eq!(code(&unknown), "PERSISTED_QUERY_NOT_FOUND");
    assert_eq!(unknown["errors"][0]["message"], "PersistedQueryNotFound");

    let register = json!({ "query": ECHO, "extensions": extensions, "variables": { "text": "b" } });
    assert_eq!(ask(&gateway, register).await.1["data"]["echo"], "b");
    assert_eq!(ask(&gateway, named).await.1["data"]["echo"], "a");
    let get = gateway
        .http
        .get(gateway.url("/graphql"))
        .header("apollo-require-preflight", "true")
        .query(&[("extensions", extensions.to_string()), ("variables", json!({ "text": "c" }).to_string())]);
    assert_eq!(answer(get).await.1["data"]["echo"], "c");
    let mut socket = gateway.ready_socket().await;
    let payload = json!({ "extensions": extensions, "variables": { "text": "d" } });
    socket.send(json!({ "type": "subscribe", "id": "1", "payload": payload })).await;
    assert_eq!(socket.next().await["payload"]["data"]["echo"], "d");

    let wrong = json!({ "query": HELLO, "extensions": extensions });
    let (status, mismatch) = ask(&gateway, wrong).await;
    assert_eq!((status, code(&mismatch)), (400, "PERSISTED_QUERY_HASH_MISMATCH"));
    // What is not valid is not kept.
    let invalid = "{ unknown }";
    let register = json!({ "query": invalid, "extensions": persisted_query(&sha256(invalid)) });
    assert_eq!(code(&ask(&gateway, register).await.1), "GRAPHQL_VALIDATION_FAILED");
    let named = json!({ "extensions": persisted_query(&sha256(invalid)) });
    assert_eq!(code(&ask(&gateway, named).await.1), "PERSISTED_QUERY_NOT_FOUND");
}

#[tokio::test]
async fn where_documents_are_not_registered_clients_are_told_to_send_them() {
    let gateway = gateway(PersistedSettings { automatic: false, ..PersistedSettings::default() }).await;
    let extensions = persisted_query(&sha256(HELLO));
    for body in [json!({ "extensions": extensions }), json!({ "documentId": "1f3c" })] {
        assert_eq!(code(&ask(&gateway, body).await.1), "PERSISTED_QUERY_NOT_SUPPORTED");
    }
    assert_eq!(ask(&gateway, json!({ "query": HELLO, "extensions": extensions })).await.0, 200);
}

#[tokio::test]
async fn a_batch_is_answered_in_its_order_with_each_requests_own_result() {
    let gateway = TestGateway::with_limits(|limits| limits.max_batch = 4).await;
    let batch = json!([
        { "query": ECHO, "variables": { "text": "a" } },
        { "query": "{ unknown }" },
        { "query": "mutation { bump }" },
        { "query": "subscription { count(to: 1) }" },
    ]);
    let (status, answers) = ask(&gateway, batch).await;
    assert_eq!((status, answers.as_array().unwrap().len()), (200, 4));
    assert_eq!(answers[0], json!({ "data": { "echo": "a" } }));
    assert_eq!(code(&answers[1]), "GRAPHQL_VALIDATION_FAILED");
    assert_eq!(answers[2], json!({ "data": { "bump": 1 } }));
    assert_eq!(code(&answers[3]), "BAD_USER_INPUT");
    for (bad, message) in [
        (json!([]), "a batch must hold a request"),
        (json!(vec![json!({ "query": HELLO }); 5]), "a batch may hold at most 4 requests"),
        (json!([1]), "each request of a batch must be a JSON object"),
        (json!([{ "query": 1 }]), "query must be a string of Unicode characters"),
    ] {
        let (status, answer) = ask(&gateway, bad).await;
        assert_eq!((status, answer["errors"][0]["message"].as_str()), (400, Some(message)));
    }
}

#[tokio::test]
async fn limits_are_counted_over_a_whole_batch() {
    let limited = Options { rate_limits: rate("3/h"), ..Options::default() };
    let gateway = TestGateway::with(Options { limits: with_batches(), ..limited }).await;
    let hello = |count: usize| json!(vec![json!({ "query": HELLO }); count]);
    assert_eq!(ask(&gateway, hello(2)).await.0, 200);
    let (status, answer) = ask(&gateway, hello(2)).await;
    assert_eq!((status, code(&answer)), (429, "RATE_LIMITED"));

    let gateway = TestGateway::with_limits(|limits| limits.max_batch = 10).await;
    let aliases: String = (0..30).map(|n| format!("a{n}: id ")).collect();
    let query = format!("{{ node {{ {aliases} }} }}");
    assert_eq!(ask(&gateway, json!([{ "query": query }])).await.1[0].get("errors"), None);
    let (status, answer) = ask(&gateway, json!([{ "query": query }, { "query": query }])).await;
    assert_eq!((status, code(&answer)), (400, "QUERY_TOO_COMPLEX"));
    let full = TestGateway::with_limits(|limits| {
        limits.max_batch = 10;
        limits.max_concurrent_requests = 2;
    })
    .await;
    assert_eq!(ask(&full, hello(2)).await.0, 200);
    assert_eq!(ask(&full, hello(3)).await.0, 503);
}

fn rate(per_address: &str) -> gateway::http::RateLimitSettings {
    gateway::http::RateLimitSettings { per_address: per_address.parse().ok(), ..Default::default() }
}

fn with_batches() -> gateway::http::Limits {
    gateway::http::Limits { max_batch: 10, ..Default::default() }
}
