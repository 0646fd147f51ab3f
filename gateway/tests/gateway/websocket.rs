//! graphql-transport-ws: operations.

use std::sync::atomic::Ordering::SeqCst;

use serde_json::{Value, json};
use testkit::eventually;

use crate::kit::TestGateway;

fn next(id: &str, data: Value) -> Value {
    json!({ "type": "next", "id": id, "payload": { "data": data } })
}

fn complete(id: &str) -> Value {
    json!({ "type": "complete", "id": id })
}

/// The code of an `error` message's only error.
fn error_code<'a>(message: &'a Value, id: &str) -> &'a str {
    assert_eq!((&message["type"], &message["id"]), (&json!("error"), &json!(id)), "{message}");
    assert_eq!(message["payload"].as_array().map(Vec::len), Some(1), "{message}");
    message["payload"][0]["extensions"]["code"].as_str().unwrap()
}

async fn running(gateway: &TestGateway, subscriptions: usize) {
    eventually(&format!("{subscriptions} subscriptions run"), async || {
        gateway.inside.running.load(SeqCst) == subscriptions
    })
    .await;
}

#[tokio::test]
async fn queries_mutations_and_subscriptions_run_over_a_socket() {
    let gateway = TestGateway::start().await;
    let mut socket = gateway.ready_socket().await;
    socket.subscribe("q", "{ hello }").await;
    assert_eq!(socket.next().await, next("q", json!({ "hello": "world" })));
    assert_eq!(socket.next().await, complete("q"));
    socket.subscribe("m", "mutation { bump }").await;
    assert_eq!(socket.next().await, next("m", json!({ "bump": 1 })));
    assert_eq!(socket.next().await, complete("m"));
    socket.subscribe("s", "subscription { count(to: 3) }").await;
    for number in 1..=3 {
        assert_eq!(socket.next().await, next("s", json!({ "count": number })));
    }
    assert_eq!(socket.next().await, complete("s"));
}

#[tokio::test]
async fn a_ping_is_answered_with_its_payload_at_any_time() {
    let gateway = TestGateway::start().await;
    let mut socket = gateway.socket().await;
    for payload in [json!({ "a": [1] }), json!({})] {
        socket.send(json!({ "type": "ping", "payload": payload })).await;
        let expected = json!({ "type": "pong", "payload": payload });
        assert_eq!(socket.next().await, expected);
    }
    socket.send(json!({ "type": "pong" })).await;
    socket.send(json!({ "type": "ping" })).await;
    assert_eq!(socket.next().await, json!({ "type": "pong" }));
}

#[tokio::test]
async fn a_document_that_is_refused_ends_in_an_error_message_and_nothing_else() {
    let gateway = TestGateway::start().await;
    let mut socket = gateway.ready_socket().await;
    for (id, query, code) in [
        ("1", "{", "GRAPHQL_PARSE_FAILED"),
        ("2", "{ unknown }", "GRAPHQL_VALIDATION_FAILED"),
        ("3", "subscription { unknown }", "GRAPHQL_VALIDATION_FAILED"),
        ("4", "subscription { count(to: 1) ticks { value } }", "GRAPHQL_VALIDATION_FAILED"),
        ("5", "{ nodes(first: 100) { nodes(first: 100) { nodes(last: 100) { id } } } }", "QUERY_TOO_COMPLEX"),
    ] {
        socket.subscribe(id, query).await;
        let message = socket.next().await;
        assert_eq!(error_code(&message, id), code, "{query}");
    }
    socket.subscribe("1", "{ hello }").await;
    assert_eq!(socket.next().await, next("1", json!({ "hello": "world" })));
}

#[tokio::test]
async fn a_subscription_that_is_refused_by_its_resolver_says_so_and_completes() {
    let gateway = TestGateway::start().await;
    let mut socket = gateway.ready_socket().await;
    socket.subscribe("r", "subscription { refused }").await;
    let message = socket.next().await;
    assert_eq!(message["type"], "next");
    assert_eq!(message["payload"]["data"], Value::Null);
    let error = &message["payload"]["errors"][0];
    assert_eq!(error["extensions"]["code"], "CURSOR_EXPIRED");
    assert_eq!(error["path"], json!(["refused"]));
    assert_eq!(socket.next().await, complete("r"));
}

#[tokio::test]
async fn a_subscription_that_fails_for_a_passing_reason_closes_the_socket_for_its_client_to_resume() {
    let gateway = TestGateway::start().await;
    let mut socket = gateway.ready_socket().await;
    socket.subscribe("a", "subscription { away }").await;
    assert_eq!(socket.ended().await, (Vec::new(), (1013, "try again later".into())));

    let mut socket = gateway.ready_socket().await;
    socket.subscribe("i", "subscription { interrupted(to: 20) }").await;
    let received: Vec<Value> = (1..=20).map(|number| next("i", json!({ "interrupted": number }))).collect();
    assert_eq!(socket.ended().await, (received, (1013, "try again later".into())));
}

#[tokio::test]
async fn a_socket_that_its_client_resumes_closes_after_the_results_of_its_queries_and_mutations() {
    for interrupted in [true, false] {
        let gateway = TestGateway::start().await;
        let mut socket = gateway.ready_socket().await;
        socket.subscribe("t", "subscription { ticks { value } }").await;
        socket.subscribe("m", "mutation { waits }").await;
        running(&gateway, 2).await;
        if interrupted {
            socket.subscribe("a", "subscription { away }").await;
        } else {
            gateway.lifecycle.closing.cancel();
        }
        running(&gateway, 1).await;
        // Its client sends it again over the next connection.
        socket.subscribe("late", "mutation { bump }").await;
        gateway.inside.permits.add_permits(1);
        let close = if interrupted { (1013, "try again later") } else { (1001, "going away") };
        let received = vec![next("m", json!({ "waits": 1 })), complete("m")];
        assert_eq!(socket.ended().await, (received, (close.0, close.1.to_owned())));
    }
}

#[tokio::test]
async fn a_failing_event_is_masked_and_the_stream_goes_on() {
    let gateway = TestGateway::start().await;
    let mut socket = gateway.ready_socket().await;
    socket.subscribe("e", "subscription { ticks { leaks } }").await;
    running(&gateway, 1).await;
    for tick in 1..=2 {
        gateway.inside.ticks.send(tick).unwrap();
        let message = socket.next().await;
        let error = &message["payload"]["errors"][0];
        assert_eq!(error["extensions"]["code"], "INTERNAL_SERVER_ERROR");
        assert!(!message.to_string().contains("hunter2"));
    }
}

#[tokio::test]
async fn a_panic_in_a_stream_ends_its_operation_alone() {
    let gateway = TestGateway::start().await;
    let mut socket = gateway.ready_socket().await;
    socket.subscribe("p", "subscription { panics }").await;
    assert_eq!(socket.next().await, next("p", json!({ "panics": 1 })));
    let message = socket.next().await;
    assert_eq!(error_code(&message, "p"), "INTERNAL_SERVER_ERROR");
    socket.subscribe("p", "{ hello }").await;
    assert_eq!(socket.next().await, next("p", json!({ "hello": "world" })));
}

#[tokio::test]
async fn a_clients_complete_ends_the_stream_without_an_answer_and_frees_the_id() {
    let gateway = TestGateway::start().await;
    let mut socket = gateway.ready_socket().await;
    for round in 0..3 {
        socket.subscribe("t", "subscription { ticks { value } }").await;
        running(&gateway, 1).await;
        gateway.inside.ticks.send(round).unwrap();
        let expected = next("t", json!({ "ticks": { "value": round } }));
        assert_eq!(socket.next().await, expected);
        socket.send(complete("t")).await;
        running(&gateway, 0).await;
    }
    socket.send(complete("never begun")).await;
    socket.subscribe("q", "{ hello }").await;
    assert_eq!(socket.next().await, next("q", json!({ "hello": "world" })));
}

#[tokio::test]
async fn an_id_may_be_used_again_as_soon_as_its_operation_has_ended() {
    let gateway = TestGateway::start().await;
    let mut socket = gateway.ready_socket().await;
    for _ in 0..200 {
        socket.subscribe("same", "{ hello }").await;
        assert_eq!(socket.next().await["type"], "next");
        assert_eq!(socket.next().await, complete("same"));
    }
}

#[tokio::test]
async fn operations_of_one_socket_are_told_apart() {
    let gateway = TestGateway::start().await;
    let mut socket = gateway.ready_socket().await;
    socket.subscribe("a", "subscription { ticks { value } }").await;
    socket.subscribe("b", "subscription { ticks { value } }").await;
    running(&gateway, 2).await;
    gateway.inside.ticks.send(7).unwrap();
    let mut ids =
        [socket.next().await, socket.next().await].map(|message| message["id"].as_str().unwrap().to_owned());
    ids.sort();
    assert_eq!(ids, ["a", "b"]);
}

#[tokio::test]
async fn operations_beyond_the_bound_are_refused_and_the_others_go_on() {
    let gateway = TestGateway::with_limits(|limits| limits.max_operations = 2).await;
    let mut socket = gateway.ready_socket().await;
    for id in ["1", "2", "3"] {
        socket.subscribe(id, "subscription { ticks { value } }").await;
    }
    let message = socket.next().await;
    assert_eq!(error_code(&message, "3"), "RATE_LIMITED");
    running(&gateway, 2).await;
    socket.send(complete("1")).await;
    socket.subscribe("3", "{ hello }").await;
    assert_eq!(socket.next().await, next("3", json!({ "hello": "world" })));
}

#[tokio::test]
async fn a_result_too_large_for_a_message_ends_its_operation() {
    let gateway = TestGateway::with_limits(|limits| limits.max_outgoing_bytes = 1024).await;
    let mut socket = gateway.ready_socket().await;
    socket.subscribe("f", "subscription { flood }").await;
    let message = socket.next().await;
    assert_eq!(error_code(&message, "f"), "PAYLOAD_TOO_LARGE");
    running(&gateway, 0).await;
}

#[tokio::test]
async fn a_lost_connection_ends_its_operations() {
    let gateway = TestGateway::start().await;
    let mut socket = gateway.ready_socket().await;
    socket.subscribe("1", "subscription { ticks { value } }").await;
    running(&gateway, 1).await;
    drop(socket);
    running(&gateway, 0).await;
}

#[tokio::test]
async fn a_client_may_complete_an_operation_before_it_has_a_result() {
    let gateway = TestGateway::start().await;
    let mut socket = gateway.ready_socket().await;
    for query in ["{ never }", "mutation { never }", "subscription { ticks { value } }"] {
        socket.subscribe("1", query).await;
        socket.send(complete("1")).await;
        // The id is free, and what comes under it is the new operation's.
        socket.subscribe("1", "{ hello }").await;
        assert_eq!(socket.next().await, next("1", json!({ "hello": "world" })), "{query}");
        assert_eq!(socket.next().await, complete("1"), "{query}");
    }
    running(&gateway, 0).await;
}

#[tokio::test]
async fn an_operation_that_fails_leaves_the_others_of_its_socket_alone() {
    let gateway = TestGateway::start().await;
    let mut socket = gateway.ready_socket().await;
    socket.subscribe("t", "subscription { ticks { value } }").await;
    running(&gateway, 1).await;
    socket.subscribe("1", "subscription { unknown }").await;
    assert_eq!(socket.next().await["type"], "error");
    socket.subscribe("2", "subscription { refused }").await;
    assert_eq!(socket.next().await["payload"]["data"], Value::Null);
    assert_eq!(socket.next().await, complete("2"));
    gateway.inside.ticks.send(7).unwrap();
    assert_eq!(socket.next().await, next("t", json!({ "ticks": { "value": 7 } })));
}

#[tokio::test]
async fn variables_and_the_operations_name_come_in_the_payload() {
    let gateway = TestGateway::start().await;
    let mut socket = gateway.ready_socket().await;
    let payload = json!({ "operationName": "B", "variables": { "text": "x" }, "extensions": { "a": 1 },
        "query": "query A { hello } query B($text: String!) { echo(text: $text) }" });
    socket.send(json!({ "type": "subscribe", "id": "1", "payload": payload })).await;
    assert_eq!(socket.next().await, next("1", json!({ "echo": "x" })));
    assert_eq!(socket.next().await, complete("1"));
}
