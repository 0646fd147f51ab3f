//! An edge on a port of its own, and clients that speak to it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_graphql::Executor;
use futures::{SinkExt, StreamExt};
use gateway::{
    auth::{AuthConfig, Authenticator, Scopes, mint},
    http::{GraphqlServer, Lifecycle, Limits, Playground, serve},
};
use serde_json::{Value, json};
use service_kit::{Liveness, Readiness};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};

use testkit::WAIT_LIMIT;

use super::toy::{Inside, toy};

pub(crate) const SECRET: &str = "a secret of the tests";

pub(crate) struct TestGateway {
    pub(crate) address: SocketAddr,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) inside: Arc<Inside>,
    pub(crate) http: reqwest::Client,
    pub(crate) served: tokio::task::JoinHandle<()>,
}

pub(crate) struct Options {
    pub(crate) limits: Limits,
    pub(crate) auth: AuthConfig,
    pub(crate) readiness: Readiness,
    pub(crate) liveness: Liveness,
    pub(crate) playground: Playground,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            auth: AuthConfig::Mock { secret: SECRET.into() },
            readiness: Readiness::new(),
            liveness: Liveness::new(),
            playground: Playground::default(),
        }
    }
}

pub(crate) fn token(customer: &str) -> String {
    mint(SECRET, customer, Scopes::from_claim("orders:read"), Duration::from_secs(3600)).unwrap()
}

pub(crate) fn http_client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(WAIT_LIMIT).build().unwrap()
}

impl TestGateway {
    pub(crate) async fn start() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with_limits(change: impl FnOnce(&mut Limits)) -> Self {
        let mut options = Options::default();
        change(&mut options.limits);
        Self::with(options).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let (schema, inside) = toy();
        Self::serving(schema, inside, options).await
    }

    pub(crate) async fn serving<E: Executor>(executor: E, inside: Arc<Inside>, options: Options) -> Self {
        let lifecycle = Lifecycle::default();
        let authenticator = Authenticator::new(options.auth).unwrap();
        let keys = authenticator.clone();
        let closing = lifecycle.closing.clone();
        let signing_keys = options.readiness.condition("signing keys");
        tokio::spawn(async move { keys.refresh_jwks(&signing_keys, closing).await });
        let router = GraphqlServer {
            executor,
            authenticator,
            readiness: options.readiness,
            liveness: options.liveness,
            playground: options.playground,
            limits: options.limits,
            lifecycle: lifecycle.clone(),
        }
        .router();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            address: listener.local_addr().unwrap(),
            served: tokio::spawn(serve(listener, router, lifecycle.clone())),
            lifecycle,
            inside,
            http: http_client(),
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Posts a request body as JSON.
    pub(crate) fn post(&self, body: &Value) -> reqwest::RequestBuilder {
        self.http.post(self.url("/graphql")).header("accept", "application/graphql-response+json").json(body)
    }

    /// Runs a document and gives status and answer.
    pub(crate) async fn run(&self, query: &str) -> (u16, Value) {
        answer(self.post(&json!({ "query": query }))).await
    }

    pub(crate) async fn socket(&self) -> Socket {
        self.socket_with(Some("graphql-transport-ws"), None).await
    }

    /// A socket that has signed in as nobody.
    pub(crate) async fn ready_socket(&self) -> Socket {
        let mut socket = self.socket().await;
        socket.init(json!({})).await;
        socket
    }

    pub(crate) async fn socket_with(
        &self,
        protocol: Option<&'static str>,
        authorization: Option<&str>,
    ) -> Socket {
        self.try_socket(protocol, authorization).await.unwrap()
    }

    pub(crate) async fn try_socket(
        &self,
        protocol: Option<&'static str>,
        authorization: Option<&str>,
    ) -> Result<Socket, tokio_tungstenite::tungstenite::Error> {
        let url = format!("ws://{}/graphql", self.address);
        let mut request = url.into_client_request().unwrap();
        let headers = request.headers_mut();
        if let Some(protocol) = protocol {
            headers.insert("sec-websocket-protocol", HeaderValue::from_static(protocol));
        }
        if let Some(authorization) = authorization {
            headers.insert("authorization", authorization.parse().unwrap());
        }
        let (socket, _) = connect_async(request).await?;
        Ok(Socket(socket))
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}

/// The code that all of an answer's errors have.
pub(crate) fn code(answer: &Value) -> &str {
    let errors = answer["errors"].as_array().expect("an answer with errors");
    let codes = errors.iter().map(|error| error["extensions"]["code"].as_str().unwrap());
    let mut codes: Vec<_> = codes.collect();
    codes.dedup();
    assert_eq!(codes.len(), 1, "{answer}");
    codes[0]
}

pub(crate) struct Socket(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub(crate) async fn init(&mut self, payload: Value) {
        self.send(json!({ "type": "connection_init", "payload": payload })).await;
        assert_eq!(self.next().await, json!({ "type": "connection_ack" }));
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.send_text(message.to_string()).await;
    }

    pub(crate) async fn send_text(&mut self, text: String) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    pub(crate) async fn subscribe(&mut self, id: &str, query: &str) {
        self.send(json!({ "type": "subscribe", "id": id, "payload": { "query": query } })).await;
    }

    /// The next message; pings of the WebSocket layer are answered and skipped.
    pub(crate) async fn next(&mut self) -> Value {
        match self.frame().await {
            Some(Message::Text(text)) => serde_json::from_str(&text).unwrap(),
            other => panic!("expected a message, got {other:?}"),
        }
    }

    /// The close frame that must come next, operations' messages skipped.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        loop {
            match self.frame().await {
                Some(Message::Text(_)) => {}
                Some(Message::Close(Some(frame))) => {
                    return (frame.code.into(), frame.reason.to_string());
                }
                other => panic!("expected a close frame, got {other:?}"),
            }
        }
    }

    async fn frame(&mut self) -> Option<Message> {
        loop {
            let frame = tokio::time::timeout(WAIT_LIMIT, self.0.next()).await.expect("nothing came");
            match frame {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(frame) => return Some(frame.unwrap()),
                None => return None,
            }
        }
    }
}
