//! Connections: how many are served, and how long one is kept by a client that doesn't use it.

use std::time::Duration;

use service_kit::http_server::ConnectionLimits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::kit::{Options, TestGateway, WAIT_LIMIT};

const SHORT: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(3_600);
/// HTTP/2's preface and an empty SETTINGS frame.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// A HEADERS frame of stream 1 with `:method: GET`, and without END_HEADERS.
const UNFINISHED_HEADERS: &[u8] = b"\0\0\x01\x01\0\0\0\0\x01\x82";
const REQUEST: &[u8] = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";

async fn gateway(connections: ConnectionLimits) -> TestGateway {
    TestGateway::with(Options { connections, ..Options::default() }).await
}

async fn connection(gateway: &TestGateway, bytes: &[u8]) -> TcpStream {
    let mut connection = TcpStream::connect(gateway.address).await.unwrap();
    connection.write_all(bytes).await.unwrap();
    connection
}

/// What is left to read until the server ends the connection.
async fn rest(mut connection: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // A connection that is reset has ended too.
    let _ = timeout(WAIT_LIMIT, connection.read_to_end(&mut rest)).await.expect("the server keeps it");
    rest
}

/// The first bytes of the response.
async fn status_line(connection: &mut TcpStream) -> String {
    let mut bytes = [0; 12];
    timeout(WAIT_LIMIT, connection.read_exact(&mut bytes)).await.expect("no response").unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn a_connection_without_a_request_ends_whatever_its_client_has_begun() {
    let limits = ConnectionLimits { first_request: SHORT, keep_alive: LONG, ..Default::default() };
    let gateway = gateway(limits).await;
    let unfinished = [HTTP2, UNFINISHED_HEADERS].concat();
    let beginnings: [&[u8]; 7] =
        [b"", b"P", &HTTP2[..10], b"GET /livez HT", b"GET /livez HTTP/1.1\r\nHost:", HTTP2, &unfinished];
    let mut connections = Vec::new();
    for beginning in beginnings {
        connections.push(connection(&gateway, beginning).await);
    }
    for (connection, beginning) in connections.into_iter().zip(beginnings) {
        let rest = rest(connection).await;
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{beginning:?}");
    }
}

#[tokio::test]
async fn a_connection_is_kept_between_requests_and_no_longer_than_it_is_used() {
    let limits = ConnectionLimits { first_request: SHORT, keep_alive: LONG, ..Default::default() };
    let patient = gateway(limits).await;
    let mut kept = connection(&patient, REQUEST).await;
    assert_eq!(status_line(&mut kept).await, "HTTP/1.1 200");
    sleep(SHORT * 3).await;
    kept.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let rest = String::from_utf8(rest(kept).await).unwrap();
    assert!(rest.contains("HTTP/1.1 200"), "{rest}");

    let limits = ConnectionLimits { first_request: LONG, keep_alive: SHORT, ..Default::default() };
    let brief = gateway(limits).await;
    let idle = connection(&brief, REQUEST).await;
    let http2 = connection(&brief, HTTP2).await;
    assert!(self::rest(idle).await.starts_with(b"HTTP/1.1 200"));
    // For this one the bound on its first request holds.
    assert!(timeout(SHORT * 2, self::rest(http2)).await.is_err());
}

#[tokio::test]
async fn a_client_that_never_reads_keeps_no_connection() {
    let limits =
        ConnectionLimits { max_connections: 1, unread: SHORT, keep_alive: SHORT, ..Default::default() };
    let gateway = gateway(limits).await;
    let mut deaf = connection(&gateway, b"").await;
    // More pages than the buffers in between hold.
    let page = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(2_000);
    let _ = timeout(Duration::from_secs(1), deaf.write_all(&page)).await;
    let mut next = connection(&gateway, REQUEST).await;
    assert_eq!(status_line(&mut next).await, "HTTP/1.1 200");
    drop(deaf);
}

#[tokio::test]
async fn connections_and_sockets_beyond_the_bound_wait() {
    let gateway = gateway(ConnectionLimits { max_connections: 1, ..Default::default() }).await;
    let first = connection(&gateway, b"").await;
    let mut second = connection(&gateway, REQUEST).await;
    assert!(timeout(SHORT, second.read_u8()).await.is_err(), "it waits");
    drop(first);
    assert_eq!(status_line(&mut second).await, "HTTP/1.1 200");
    drop(second);

    let socket = gateway.ready_socket().await;
    let mut third = connection(&gateway, REQUEST).await;
    assert!(timeout(SHORT, third.read_u8()).await.is_err(), "a socket is a connection");
    drop(socket);
    assert_eq!(status_line(&mut third).await, "HTTP/1.1 200");
}

#[tokio::test]
async fn a_request_names_its_host_once() {
    let gateway = TestGateway::start().await;
    for (head, status) in [
        ("GET /livez HTTP/1.1\r\n", "HTTP/1.1 400"),
        ("GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n", "HTTP/1.1 400"),
        ("GET /livez HTTP/1.0\r\n", "HTTP/1.0 200"),
        ("GET /livez HTTP/1.1\r\nHost: localhost\r\n", "HTTP/1.1 200"),
    ] {
        let mut connection = connection(&gateway, format!("{head}\r\n").as_bytes()).await;
        assert_eq!(status_line(&mut connection).await, status, "{head}");
    }
}

#[tokio::test]
async fn a_socket_of_another_version_is_told_which_one_is_spoken() {
    let gateway = TestGateway::start().await;
    let upgrade = "GET /graphql HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 8\r\n\r\n";
    let response = String::from_utf8(rest(connection(&gateway, upgrade.as_bytes()).await).await).unwrap();
    assert!(response.starts_with("HTTP/1.1 426"), "{response}");
    assert!(response.contains("sec-websocket-version: 13\r\n"), "{response}");
    assert!(response.contains("version 13"), "{response}");
}

#[tokio::test]
async fn every_path_answers_head_and_every_refusal_has_a_body() {
    let gateway = TestGateway::start().await;
    for (path, status) in [("/", 200), ("/livez", 200), ("/readyz", 200), ("/graphql?query={hello}", 200)] {
        let head = gateway.http.head(gateway.url(path)).header("graphql-require-preflight", "1");
        let head = head.send().await.unwrap();
        assert_eq!(head.status(), status, "{path}");
    }
    let slash = gateway.get("/graphql/?query={hello}").send().await.unwrap();
    assert_eq!(slash.text().await.unwrap(), r#"{"data":{"hello":"world"}}"#);
    for (method, path, status) in
        [("GET", "/nothing", 404), ("POST", "/", 405), ("PUT", "/readyz", 405), ("PUT", "/graphql", 405)]
    {
        let request = gateway.http.request(method.parse().unwrap(), gateway.url(path));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status, "{method} {path}");
        assert_eq!(status == 405, response.headers().contains_key("allow"), "{method} {path}");
        let body: serde_json::Value = response.json().await.unwrap();
        assert_eq!(body["errors"][0]["extensions"]["code"], "BAD_USER_INPUT", "{method} {path}");
    }
}
