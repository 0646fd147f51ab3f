//! Probes, draining, and connections that say nothing.

use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, net::TcpStream};

use crate::edge_kit::{Options, PATIENCE, TestEdge, answer};

async fn probe(edge: &TestEdge, path: &str) -> (u16, Value) {
    answer(edge.http.get(edge.url(path))).await
}

#[tokio::test]
async fn a_ready_gateway_says_so() {
    let edge = TestEdge::start().await;
    assert_eq!(probe(&edge, "/livez").await, (200, json!({ "status": "alive" })));
    let expected = json!({ "status": "ready", "missing": [] });
    assert_eq!(probe(&edge, "/readyz").await, (200, expected));
}

#[tokio::test]
async fn a_gateway_that_is_not_ready_names_what_is_missing() {
    let options = Options { missing: vec!["broker".into()], ..Options::default() };
    let edge = TestEdge::with(options).await;
    let expected = json!({ "status": "not ready", "missing": ["broker"] });
    assert_eq!(probe(&edge, "/readyz").await, (503, expected));
    assert_eq!(probe(&edge, "/livez").await.0, 200);
}

#[tokio::test]
async fn a_draining_gateway_serves_on_and_sends_clients_elsewhere() {
    let edge = TestEdge::start().await;
    let query = json!({ "query": "{ hello }" });
    let before = edge.post(&query).send().await.unwrap();
    assert_eq!(before.headers().get("connection"), None);

    edge.lifecycle.draining.cancel();
    assert_eq!(probe(&edge, "/readyz").await.0, 503);
    assert_eq!(probe(&edge, "/livez").await.0, 200);
    let during = edge.post(&query).send().await.unwrap();
    assert_eq!(during.status(), 200);
    assert_eq!(during.headers()["connection"], "close");
    assert!(edge.try_socket(Some("graphql-transport-ws"), None).await.is_ok());
}

#[tokio::test]
async fn stopping_finishes_what_was_begun_and_accepts_nothing_more() {
    let edge = TestEdge::start().await;
    // A connection without a request is no reason to wait.
    let mut idle = TcpStream::connect(edge.address).await.unwrap();
    edge.run("{ hello }").await;
    edge.lifecycle.closing.cancel();
    let read = tokio::time::timeout(PATIENCE, idle.read(&mut [0; 16])).await;
    assert!(matches!(read.expect("it is closed"), Ok(0) | Err(_)));
    tokio::time::timeout(PATIENCE, edge.served).await.unwrap().unwrap();
    assert!(TcpStream::connect(edge.address).await.is_err());
}
