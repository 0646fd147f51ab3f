//! Sockets under pressure, and sockets when the gateway stops.

use std::sync::atomic::Ordering::SeqCst;

use serde_json::json;
use testkit::eventually;

use crate::kit::{TestGateway, WAIT_LIMIT};

/// Far more than a socket's own queue (8), and what the kernel buffers of 64 KiB items between two
/// ends of a loopback connection; far less than the flood has.
const MOST_PULLED: usize = 1000;

#[tokio::test]
async fn a_slow_reader_stops_its_streams_and_is_still_listened_to() {
    let gateway = TestGateway::start().await;
    let mut socket = gateway.ready_socket().await;
    socket.subscribe("f", "subscription { flood }").await;

    // Quiet: nothing more is pulled while the client reads nothing.
    let (mut last, mut quiet) = (0, 0);
    let pulled = eventually("the stream stops", async || {
        let pulled = gateway.inside.pulled.load(SeqCst);
        quiet = if pulled > 0 && pulled == last { quiet + 1 } else { 0 };
        last = pulled;
        (quiet >= 20).then_some(pulled)
    })
    .await;
    assert!(pulled < MOST_PULLED, "{pulled} items were pulled");

    // The client still reads nothing, and yet what it says counts.
    socket.send(json!({ "type": "complete", "id": "f" })).await;
    eventually("the subscription ends", async || gateway.inside.running.load(SeqCst) == 0).await;

    // When it reads on, the socket is as good as new.
    socket.subscribe("q", "{ hello }").await;
    loop {
        let message = socket.next().await;
        if message["id"] == "q" {
            assert_eq!(message["payload"]["data"]["hello"], "world");
            break;
        }
    }
}

#[tokio::test]
async fn a_slow_stream_waits_and_loses_nothing() {
    let gateway = TestGateway::start().await;
    let mut socket = gateway.ready_socket().await;
    socket.subscribe("c", "subscription { count(to: 5000) }").await;
    for number in 1..=5000 {
        assert_eq!(socket.next().await["payload"]["data"]["count"], number);
    }
    assert_eq!(socket.next().await["type"], "complete");
}

#[tokio::test]
async fn a_client_that_asks_without_reading_is_let_go() {
    use futures::SinkExt;
    use tokio_tungstenite::tungstenite::Message;
    let gateway = TestGateway::with_limits(|limits| limits.max_sockets = 1).await;
    let mut socket = gateway.ready_socket().await;
    let payload = "x".repeat(100 * 1024);
    let ping = json!({ "type": "ping", "payload": { "x": payload } }).to_string();
    let flood = async { while socket.stream.send(Message::text(ping.clone())).await.is_ok() {} };
    tokio::time::timeout(WAIT_LIMIT, flood).await.expect("the client is let go");
}

#[tokio::test]
async fn stopping_closes_sockets_with_1001_and_waits_for_them() {
    let gateway = TestGateway::start().await;
    let mut socket = gateway.ready_socket().await;
    socket.subscribe("1", "subscription { ticks { value } }").await;
    gateway.lifecycle.draining.cancel();
    socket.subscribe("2", "{ hello }").await;
    assert_eq!(socket.next().await["payload"]["data"]["hello"], "world");
    assert_eq!(socket.next().await["type"], "complete");

    gateway.lifecycle.closing.cancel();
    assert_eq!(socket.closed().await, (1001, "going away".into()));
    tokio::time::timeout(WAIT_LIMIT, gateway.served).await.expect("the server ends").unwrap();
}
