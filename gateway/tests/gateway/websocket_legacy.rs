//! The older subprotocol, `graphql-ws` of the package subscriptions-transport-ws.

use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use serde_json::{Value, json};
use testkit::{GraphQlSocket, eventually, install_locked};
use tokio::process::Command;

use crate::kit::{TestGateway, token};

async fn open(gateway: &TestGateway) -> GraphQlSocket {
    gateway.try_socket(Some("graphql-ws"), None).await.unwrap()
}

/// The next message that is no keep-alive.
async fn next(socket: &mut GraphQlSocket) -> Value {
    loop {
        let message = socket.next().await;
        if message != json!({ "type": "ka" }) {
            return message;
        }
    }
}

async fn ready(gateway: &TestGateway) -> GraphQlSocket {
    let mut socket = open(gateway).await;
    socket.init(json!({})).await;
    socket
}

async fn start(socket: &mut GraphQlSocket, id: &str, query: &str) {
    socket.send(json!({ "type": "start", "id": id, "payload": { "query": query } })).await;
}

fn data(id: &str, data: Value) -> Value {
    json!({ "type": "data", "id": id, "payload": { "data": data } })
}

fn complete(id: &str) -> Value {
    json!({ "type": "complete", "id": id })
}

async fn running(gateway: &TestGateway, subscriptions: usize) {
    eventually(&format!("{subscriptions} subscriptions run"), async || {
        gateway.inside.running.load(SeqCst) == subscriptions
    })
    .await;
}

#[tokio::test]
async fn operations_are_data_and_complete() {
    let gateway = TestGateway::start().await;
    let mut socket = ready(&gateway).await;
    start(&mut socket, "1", "subscription { count(to: 3) }").await;
    for number in 1..=3 {
        assert_eq!(next(&mut socket).await, data("1", json!({ "count": number })));
    }
    assert_eq!(next(&mut socket).await, complete("1"));
    start(&mut socket, "1", "{ hello }").await;
    assert_eq!(next(&mut socket).await, data("1", json!({ "hello": "world" })));
    assert_eq!(next(&mut socket).await, complete("1"));
    let variables = json!({ "query": "query Q($text: String!) { echo(text: $text) } query R { hello }",
        "variables": { "text": "x" }, "operationName": "Q" });
    socket.send(json!({ "type": "start", "id": "2", "payload": variables })).await;
    assert_eq!(next(&mut socket).await, data("2", json!({ "echo": "x" })));
}

#[tokio::test]
async fn a_client_that_starts_before_the_ack_is_signed_in_first() {
    let gateway = TestGateway::start().await;
    let mut socket = open(&gateway).await;
    let payload = json!({ "Authorization": format!("Bearer {}", token("CUST01")) });
    socket.send(json!({ "type": "connection_init", "payload": payload })).await;
    start(&mut socket, "1", "{ whoami }").await;
    assert_eq!(socket.next().await, json!({ "type": "connection_ack" }));
    assert_eq!(next(&mut socket).await, data("1", json!({ "whoami": "CUST01" })));
}

#[tokio::test]
async fn keep_alives_follow_the_ack_and_go_on() {
    let gateway = TestGateway::with_limits(|limits| limits.ping_interval = Duration::from_millis(20)).await;
    let mut socket = ready(&gateway).await;
    for _ in 0..3 {
        assert_eq!(socket.next().await, json!({ "type": "ka" }));
    }
}

#[tokio::test]
async fn a_refused_document_is_one_error_and_the_socket_goes_on() {
    let gateway = TestGateway::start().await;
    let mut socket = ready(&gateway).await;
    start(&mut socket, "1", "{ unknown other }").await;
    let message = next(&mut socket).await;
    assert_eq!((&message["type"], &message["id"]), (&json!("error"), &json!("1")));
    assert_eq!(message["payload"]["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED");
    assert!(message["payload"]["message"].is_string(), "{message}");
    assert_eq!(message["payload"]["errors"].as_array().map(Vec::len), Some(2), "{message}");
    start(&mut socket, "1", "{ hello }").await;
    assert_eq!(next(&mut socket).await, data("1", json!({ "hello": "world" })));
}

#[tokio::test]
async fn stop_ends_an_operation_and_terminate_the_socket() {
    let gateway = TestGateway::start().await;
    let mut socket = ready(&gateway).await;
    start(&mut socket, "1", "subscription { ticks { value } }").await;
    start(&mut socket, "2", "subscription { ticks { value } }").await;
    running(&gateway, 2).await;
    socket.send(json!({ "type": "stop", "id": "1" })).await;
    running(&gateway, 1).await;
    gateway.inside.ticks.send(7).unwrap();
    assert_eq!(next(&mut socket).await, data("2", json!({ "ticks": { "value": 7 } })));
    start(&mut socket, "1", "{ hello }").await;
    assert_eq!(next(&mut socket).await["id"], "1");
    assert_eq!(next(&mut socket).await, complete("1"));
    socket.send(json!({ "type": "connection_terminate" })).await;
    assert_eq!(socket.closed().await.0, 1000);
    running(&gateway, 0).await;
}

#[tokio::test]
async fn each_breach_closes_with_the_newer_protocols_code() {
    let gateway = TestGateway::start().await;
    let query = json!({ "query": "subscription { ticks { value } }" });
    let operation = json!({ "type": "start", "id": "1", "payload": query });
    let init = json!({ "type": "connection_init" });
    for (messages, code) in [
        (vec![operation.clone()], 4401),
        (vec![init.clone(), init.clone()], 4429),
        (vec![init.clone(), operation.clone(), operation.clone()], 4409),
        (vec![init.clone(), json!({ "type": "bogus" })], 4400),
        (vec![init.clone(), json!({ "type": "subscribe", "id": "1", "payload": query })], 4400),
        (vec![init.clone(), json!({ "type": "start", "id": "1" })], 4400),
    ] {
        let mut socket = open(&gateway).await;
        for message in &messages {
            socket.send(message.clone()).await;
        }
        assert_eq!(socket.closed().await.0, code, "{messages:?}");
    }
    let mut socket = open(&gateway).await;
    socket.send(json!({ "type": "connection_init", "payload": { "authorization": "Bearer x" } })).await;
    let (messages, (code, _)) = socket.ended().await;
    let message = "the token is not valid";
    assert_eq!(messages, [json!({ "type": "connection_error", "payload": { "message": message } })]);
    assert_eq!(code, 4403);
}

#[tokio::test]
async fn the_newer_protocol_is_chosen_of_both() {
    let gateway = TestGateway::start().await;
    let mut socket = gateway.try_socket(Some("graphql-ws, graphql-transport-ws"), None).await.unwrap();
    socket.init(json!({})).await;
    socket.subscribe("1", "{ hello }").await;
    assert_eq!(socket.next().await["type"], "next");
}

#[tokio::test]
async fn the_package_that_the_protocol_comes_from_is_served() {
    let gateway = TestGateway::start().await;
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/legacy");
    let folder = install_locked(&sources).await.unwrap();
    let client = Command::new("node")
        .args(["client.js", &format!("ws://{}/graphql", gateway.address), &token("CUST01")])
        .current_dir(&folder)
        .kill_on_drop(true)
        .output();
    let client =
        tokio::time::timeout(2 * testkit::WAIT_LIMIT, client).await.expect("the client ends").unwrap();
    assert!(client.status.success(), "{}", String::from_utf8_lossy(&client.stderr));
    let seen: Value = serde_json::from_slice(&client.stdout).unwrap();
    let expected = json!({
        "query": [{ "whoami": "CUST01" }, "complete"],
        "mutation": [{ "bump": 1 }, "complete"],
        "subscription": [{ "count": 1 }, { "count": 2 }, { "count": 3 }, "complete"],
        "invalid": [{ "error": "GRAPHQL_VALIDATION_FAILED" }],
        "refused": [{ "code": "CURSOR_EXPIRED" }, "complete"],
        "after": [{ "hello": "world" }, "complete"],
    });
    assert_eq!(seen, expected);
}
