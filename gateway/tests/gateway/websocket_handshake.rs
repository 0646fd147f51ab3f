//! graphql-transport-ws: the handshake, and each way to be closed.

use std::{sync::Arc, time::Duration};

use gateway::auth::{Scopes, mint};
use serde_json::{Value, json};
use testkit::{GraphQlSocket, eventually};
use tokio_tungstenite::tungstenite::{Error, Message, http::StatusCode};

use crate::kit::{Options, SECRET, TestGateway, token};

/// The upgrade was answered with 503, and when to try again.
fn assert_refused(upgrade: Result<GraphQlSocket, Error>) {
    match upgrade {
        Err(Error::Http(response)) => {
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.headers()["retry-after"], "1");
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the socket was accepted"),
    }
}

async fn whoami(socket: &mut GraphQlSocket) -> Value {
    socket.subscribe("who", "{ whoami }").await;
    let next = socket.next().await;
    assert_eq!(socket.next().await, json!({ "type": "complete", "id": "who" }));
    next["payload"]["data"]["whoami"].clone()
}

#[tokio::test]
async fn the_token_comes_in_the_init_payload_or_with_the_upgrade() {
    let gateway = TestGateway::start().await;
    let bearer = |customer| format!("Bearer {}", token(customer));
    for (header, payload, expected) in [
        (None, json!({}), Value::Null),
        (None, json!({ "authorization": null }), Value::Null),
        (None, json!({ "authorization": bearer("CUST01") }), json!("CUST01")),
        (None, json!({ "Authorization": bearer("CUST01") }), json!("CUST01")),
        (Some(bearer("CUST02")), json!({}), json!("CUST02")),
        (Some(bearer("CUST02")), json!({ "authorization": bearer("CUST01") }), json!("CUST01")),
        (Some("Bearer bad".into()), json!({ "authorization": bearer("CUST01") }), json!("CUST01")),
    ] {
        let protocol = Some("graphql-transport-ws");
        let mut socket = gateway.try_socket(protocol, header.as_deref()).await.unwrap();
        socket.init(payload.clone()).await;
        assert_eq!(whoami(&mut socket).await, expected, "{header:?} {payload}");
    }
}

#[tokio::test]
async fn an_init_without_a_payload_signs_in_no_viewer() {
    let gateway = TestGateway::start().await;
    let mut socket = gateway.socket().await;
    socket.send(json!({ "type": "connection_init" })).await;
    assert_eq!(socket.next().await, json!({ "type": "connection_ack" }));
    assert_eq!(whoami(&mut socket).await, Value::Null);
}

#[tokio::test]
async fn a_bad_token_closes_with_4403() {
    let gateway = TestGateway::start().await;
    for bad in ["Bearer x.y.z", "x", "", &format!("{}x", token("CUST01"))] {
        let mut socket = gateway.socket().await;
        let payload = json!({ "authorization": bad });
        socket.send(json!({ "type": "connection_init", "payload": payload })).await;
        assert_eq!(socket.closed().await, (4403, "Forbidden".into()), "{bad}");
    }
    let protocol = Some("graphql-transport-ws");
    let mut socket = gateway.try_socket(protocol, Some("Bearer bad")).await.unwrap();
    socket.send(json!({ "type": "connection_init" })).await;
    assert_eq!(socket.closed().await.0, 4403);
}

#[tokio::test]
async fn a_socket_is_closed_when_its_token_ends() {
    let gateway = TestGateway::start().await;
    let scopes = Scopes::default();
    let short = mint(SECRET, "CUST01", scopes, Duration::from_secs(2)).unwrap();
    let mut socket = gateway.socket().await;
    socket.init(json!({ "authorization": format!("Bearer {short}") })).await;
    socket.subscribe("1", "subscription { ticks { value } }").await;
    assert_eq!(socket.closed().await, (4403, "token expired".into()));
    eventually("its subscription ends", async || {
        gateway.inside.running.load(std::sync::atomic::Ordering::SeqCst) == 0
    })
    .await;
}

#[tokio::test]
async fn an_operation_before_the_handshake_closes_with_4401() {
    let gateway = TestGateway::start().await;
    let mut socket = gateway.socket().await;
    socket.subscribe("1", "{ hello }").await;
    assert_eq!(socket.closed().await, (4401, "Unauthorized".into()));
}

#[tokio::test]
async fn another_subprotocol_is_accepted_and_closed_with_4406() {
    let gateway = TestGateway::start().await;
    for protocol in [None, Some("graphql"), Some("soap")] {
        let mut socket = gateway.try_socket(protocol, None).await.unwrap();
        assert_eq!(socket.closed().await, (4406, "Subprotocol not acceptable".into()), "{protocol:?}");
    }
}

#[tokio::test]
async fn a_silent_client_is_closed_with_4408() {
    let gateway = TestGateway::with_limits(|limits| {
        limits.init_timeout = Duration::from_millis(50);
    })
    .await;
    let mut socket = gateway.socket().await;
    let expected = (4408, "Connection initialisation timeout".into());
    assert_eq!(socket.closed().await, expected);
}

#[tokio::test]
async fn an_id_in_use_closes_with_4409() {
    let gateway = TestGateway::start().await;
    let mut socket = gateway.ready_socket().await;
    socket.subscribe("x", "subscription { ticks { value } }").await;
    socket.subscribe("x", "{ hello }").await;
    let expected = (4409, "Subscriber for x already exists".into());
    assert_eq!(socket.closed().await, expected);
}

#[tokio::test]
async fn a_second_init_closes_with_4429() {
    let gateway = TestGateway::start().await;
    let mut socket = gateway.ready_socket().await;
    socket.send(json!({ "type": "connection_init" })).await;
    let expected = (4429, "Too many initialisation requests".into());
    assert_eq!(socket.closed().await, expected);
}

#[tokio::test]
async fn what_is_no_message_closes_with_4400() {
    let gateway = TestGateway::start().await;
    for text in [
        "",
        "{",
        "[]",
        "null",
        "{}",
        r#"{"type":1}"#,
        r#"{"type":"unknown"}"#,
        r#"{"type":"start","id":"1","payload":{"query":"{hello}"}}"#,
        r#"{"type":"next","id":"1","payload":{}}"#,
        r#"{"type":"ping","payload":3}"#,
        r#"{"type":"subscribe","payload":{"query":"{hello}"}}"#,
        r#"{"type":"subscribe","id":1,"payload":{"query":"{hello}"}}"#,
        r#"{"type":"subscribe","id":"","payload":{"query":"{hello}"}}"#,
        r#"{"type":"subscribe","id":"1"}"#,
        r#"{"type":"subscribe","id":"1","payload":{}}"#,
        r#"{"type":"subscribe","id":"1","payload":{"query":"{hello}","variables":[]}}"#,
        r#"{"type":"complete"}"#,
    ] {
        let mut socket = gateway.ready_socket().await;
        socket.send_text(text.into()).await;
        assert_eq!(socket.closed().await.0, 4400, "{text}");
    }
    let mut socket = gateway.socket().await;
    socket.send(json!({ "type": "connection_init", "payload": { "authorization": 1 } })).await;
    assert_eq!(socket.closed().await.0, 4400);
}

#[tokio::test]
async fn binary_messages_close_with_4400_and_large_ones_with_1009() {
    use futures::SinkExt;
    let gateway = TestGateway::start().await;
    let mut socket = gateway.ready_socket().await;
    socket.stream.send(Message::binary(b"{}".to_vec())).await.unwrap();
    assert_eq!(socket.closed().await.0, 4400);

    let mut socket = gateway.ready_socket().await;
    socket.send_text(" ".repeat(300 * 1024)).await;
    assert_eq!(socket.closed().await, (1009, "message too big".into()));
}

#[tokio::test]
async fn sockets_beyond_the_bound_are_refused_until_one_closes() {
    let gateway = TestGateway::with_limits(|limits| limits.max_sockets = 1).await;
    let mut first = gateway.ready_socket().await;
    let protocol = Some("graphql-transport-ws");
    assert_refused(gateway.try_socket(protocol, None).await);
    first.stream.close(None).await.unwrap();
    eventually("there is room again", async || gateway.try_socket(protocol, None).await.is_ok()).await;
}

#[tokio::test]
async fn a_socket_waits_while_the_gateway_starts_and_is_accepted_later_whatever_is_away() {
    let options = Options::default();
    let broker = options.readiness.condition("broker");
    let gateway = Arc::new(TestGateway::with(options).await);
    let opening = tokio::spawn({
        let gateway = Arc::clone(&gateway);
        async move { gateway.ready_socket().await }
    });
    // It has opened no socket by the time that another request is answered.
    assert_eq!(gateway.run("{ hello }").await.0, 200);
    assert!(!opening.is_finished());
    broker.set(true);
    assert_eq!(whoami(&mut opening.await.unwrap()).await, Value::Null);

    broker.set_missing("connection reset");
    let mut socket = gateway.ready_socket().await;
    assert_eq!(whoami(&mut socket).await, Value::Null);
}

#[tokio::test]
async fn a_gateway_that_does_not_become_ready_refuses_sockets_with_503() {
    let mut options = Options::default();
    options.limits.start_wait = Duration::from_millis(50);
    let _broker = options.readiness.condition("broker");
    let gateway = TestGateway::with(options).await;
    for _ in 0..2 {
        assert_refused(gateway.try_socket(Some("graphql-transport-ws"), None).await);
    }
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_let_go_and_one_that_does_is_kept() {
    let gateway = TestGateway::with_limits(|limits| {
        limits.max_sockets = 2;
        limits.ping_interval = Duration::from_millis(50);
        limits.dead_after = Duration::from_millis(1500);
    })
    .await;
    let mut alive = gateway.ready_socket().await;
    let silent = gateway.ready_socket().await;
    let protocol = Some("graphql-transport-ws");
    // The silent client reads nothing, so its library answers no ping; the other one reads.
    let room = eventually("the silent one's place is free", async || {
        whoami(&mut alive).await;
        gateway.try_socket(protocol, None).await
    })
    .await;
    assert_eq!(whoami(&mut alive).await, Value::Null);
    drop((silent, room));
}
