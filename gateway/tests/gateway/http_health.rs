//! Probes, draining, and connections that say nothing.

use serde_json::{Value, json};
use testkit::eventually;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

use crate::kit::{Options, TestGateway, WAIT_LIMIT, answer};

async fn probe(gateway: &TestGateway, path: &str) -> (u16, Value) {
    answer(gateway.http.get(gateway.url(path))).await
}

#[tokio::test]
async fn a_ready_gateway_says_so() {
    let gateway = TestGateway::start().await;
    eventually("it is ready", async || probe(&gateway, "/readyz").await.0 == 200).await;
    let expected = json!({ "ready": true, "draining": false, "missing": [] });
    assert_eq!(probe(&gateway, "/readyz").await, (200, expected));
    let expected = json!({ "alive": true, "dead": [], "loops": [] });
    assert_eq!(probe(&gateway, "/livez").await, (200, expected));
}

#[tokio::test]
async fn a_gateway_that_is_not_ready_names_what_is_missing() {
    let options = Options::default();
    let _broker = options.readiness.condition("broker");
    let gateway = TestGateway::with(options).await;
    let missing = async || {
        let (status, report) = probe(&gateway, "/readyz").await;
        status == 503 && report == json!({ "ready": false, "draining": false, "missing": ["broker"] })
    };
    eventually("only the broker is missing", missing).await;
    assert_eq!(probe(&gateway, "/livez").await.0, 200);
}

#[tokio::test]
async fn a_gateway_with_a_dead_loop_says_so_on_its_public_port() {
    let options = Options::default();
    let heartbeat = options.liveness.watch("gateway updates", &[], &CancellationToken::new());
    let gateway = TestGateway::with(options).await;
    assert_eq!(probe(&gateway, "/livez").await.0, 200);

    // The loop ends, as by a panic, while it is meant to go on.
    drop(heartbeat);
    let (status, report) = probe(&gateway, "/livez").await;
    assert_eq!((status, &report["dead"]), (503, &json!(["gateway updates"])));
    assert_eq!(gateway.run("{ hello }").await.0, 200, "requests are served until the process is restarted");
}

#[tokio::test]
async fn a_draining_gateway_serves_on_and_sends_clients_elsewhere() {
    let options = Options::default();
    let readiness = options.readiness.clone();
    let gateway = TestGateway::with(options).await;
    let query = json!({ "query": "{ hello }" });
    let before = gateway.post(&query).send().await.unwrap();
    assert_eq!(before.headers().get("connection"), None);

    readiness.start_draining();
    gateway.lifecycle.draining.cancel();
    assert_eq!(probe(&gateway, "/readyz").await.0, 503);
    assert_eq!(probe(&gateway, "/livez").await.0, 200);
    let during = gateway.post(&query).send().await.unwrap();
    assert_eq!(during.status(), 200);
    assert_eq!(during.headers()["connection"], "close");
    assert!(gateway.try_socket(Some("graphql-transport-ws"), None).await.is_ok());
}

/// A client learns that the gateway stops from a response over the connection that it keeps for its next request.
#[tokio::test]
async fn a_request_over_a_kept_connection_is_answered_while_the_gateway_stops() {
    let gateway = TestGateway::start().await;
    let mut kept = TcpStream::connect(gateway.address).await.unwrap();
    let body = r#"{"query":"{ hello }"}"#;
    let head = "POST /graphql HTTP/1.1\r\nhost: waybill\r\ncontent-type: application/json\r\n";
    let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    kept.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4_096];
    assert!(kept.read(&mut answer).await.unwrap() > 0);

    gateway.lifecycle.closing.cancel();
    let refused = async || TcpStream::connect(gateway.address).await.is_err();
    eventually("nothing new is accepted", refused).await;
    kept.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(WAIT_LIMIT, kept.read_to_string(&mut answer)).await.expect("it ends").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("connection: close"), "{answer}");
    tokio::time::timeout(WAIT_LIMIT, gateway.served).await.unwrap().unwrap();
}

#[tokio::test]
async fn stopping_finishes_what_was_begun_and_accepts_nothing_more() {
    let gateway = TestGateway::start().await;
    // A connection without a request is no reason to wait.
    let mut idle = TcpStream::connect(gateway.address).await.unwrap();
    gateway.run("{ hello }").await;
    gateway.lifecycle.closing.cancel();
    let read = tokio::time::timeout(WAIT_LIMIT, idle.read(&mut [0; 16])).await;
    assert!(matches!(read.expect("it is closed"), Ok(0) | Err(_)));
    tokio::time::timeout(WAIT_LIMIT, gateway.served).await.unwrap().unwrap();
    assert!(TcpStream::connect(gateway.address).await.is_err());
}
