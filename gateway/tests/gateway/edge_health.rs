//! Probes, draining, and connections that say nothing.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::kit::{Options, TestGateway, WAIT_LIMIT, answer};

async fn probe(gateway: &TestGateway, path: &str) -> (u16, Value) {
    answer(gateway.http.get(gateway.url(path))).await
}

#[tokio::test]
async fn a_ready_gateway_says_so() {
    let gateway = TestGateway::start().await;
    assert_eq!(probe(&gateway, "/livez").await, (200, json!({ "status": "alive" })));
    let expected = json!({ "status": "ready", "missing": [] });
    assert_eq!(probe(&gateway, "/readyz").await, (200, expected));
}

#[tokio::test]
async fn a_gateway_that_is_not_ready_names_what_is_missing() {
    let options = Options { missing: vec!["broker".into()], ..Options::default() };
    let gateway = TestGateway::with(options).await;
    let expected = json!({ "status": "not ready", "missing": ["broker"] });
    assert_eq!(probe(&gateway, "/readyz").await, (503, expected));
    assert_eq!(probe(&gateway, "/livez").await.0, 200);
}

#[tokio::test]
async fn a_draining_gateway_serves_on_and_sends_clients_elsewhere() {
    let gateway = TestGateway::start().await;
    let query = json!({ "query": "{ hello }" });
    let before = gateway.post(&query).send().await.unwrap();
    assert_eq!(before.headers().get("connection"), None);

    gateway.lifecycle.draining.cancel();
    assert_eq!(probe(&gateway, "/readyz").await.0, 503);
    assert_eq!(probe(&gateway, "/livez").await.0, 200);
    let during = gateway.post(&query).send().await.unwrap();
    assert_eq!(during.status(), 200);
    assert_eq!(during.headers()["connection"], "close");
    assert!(gateway.try_socket(Some("graphql-transport-ws"), None).await.is_ok());
}

/// A client can't know that the gateway stops before it is told, over the connection that it keeps for its next request.
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
    testkit::eventually("nothing new is accepted", refused).await;
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
