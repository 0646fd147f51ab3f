//! The gateway's HTTP server on a port of its own, and its clients.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bus::clock::SystemClock;
use gateway::{
    auth::{AuthConfig, Authenticator, Scopes, mint},
    http::{Console, CorsOrigins, GraphqlServer, Lifecycle, Limits, Playground, RateLimitSettings, serve},
    query::{DocumentSettings, GraphqlSchema, PersistedSettings},
};
use serde_json::{Value, json};
use service_kit::http_server::ConnectionLimits;
use service_kit::{Liveness, Readiness, config::Secret, health::SILENCE_LIMIT};
use testkit::{GraphQlClient, GraphQlSocket, WAIT_LIMIT, http_client};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Error;

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
    pub(crate) documents: DocumentSettings,
    pub(crate) persisted: PersistedSettings,
    pub(crate) rate_limits: RateLimitSettings,
    pub(crate) auth: AuthConfig,
    pub(crate) readiness: Readiness,
    pub(crate) liveness: Liveness,
    pub(crate) playground: Option<Playground>,
    pub(crate) console: Console,
    pub(crate) connections: ConnectionLimits,
    pub(crate) cors: CorsOrigins,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            documents: DocumentSettings::default(),
            persisted: PersistedSettings::default(),
            rate_limits: RateLimitSettings::default(),
            auth: AuthConfig::Mock { secret: Secret::new(SECRET) },
            readiness: Readiness::default(),
            liveness: Liveness::new(SILENCE_LIMIT),
            playground: Some(Playground::default()),
            console: Console::default(),
            connections: ConnectionLimits::default(),
            cors: CorsOrigins::default(),
        }
    }
}

pub(crate) fn token(customer: &str) -> String {
    mint(SECRET, customer, Scopes::from_claim("orders:read"), Duration::from_secs(3600)).unwrap()
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

    pub(crate) async fn serving<E: GraphqlSchema>(
        executor: E,
        inside: Arc<Inside>,
        options: Options,
    ) -> Self {
        let lifecycle = Lifecycle::default();
        let authenticator = Authenticator::new(options.auth, Arc::new(SystemClock)).unwrap();
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
            console: options.console,
            limits: options.limits,
            documents: options.documents,
            persisted: options.persisted,
            rate_limits: options.rate_limits,
            cors: options.cors,
            lifecycle: lifecycle.clone(),
        }
        .router();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            address: listener.local_addr().unwrap(),
            served: tokio::spawn(serve(listener, router, options.connections, lifecycle.clone())),
            lifecycle,
            inside,
            http: http_client().timeout(WAIT_LIMIT).build().unwrap(),
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A GET with a header that no page of another origin can send unasked.
    pub(crate) fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(self.url(path)).header("graphql-require-preflight", "1")
    }

    /// Posts a request body as JSON.
    pub(crate) fn post(&self, body: &Value) -> reqwest::RequestBuilder {
        GraphQlClient::over(self.http.clone(), self.address.to_string()).post(body.to_string())
    }

    /// Runs a document; returns status and answer.
    pub(crate) async fn run(&self, query: &str) -> (u16, Value) {
        answer(self.post(&json!({ "query": query }))).await
    }

    /// A socket that has not sent `connection_init`.
    pub(crate) async fn socket(&self) -> GraphQlSocket {
        GraphQlSocket::open(&self.address.to_string()).await.unwrap()
    }

    /// A socket that is connected anonymously.
    pub(crate) async fn ready_socket(&self) -> GraphQlSocket {
        let mut socket = self.socket().await;
        socket.init(json!({})).await;
        socket
    }

    pub(crate) async fn try_socket(
        &self,
        protocol: Option<&str>,
        authorization: Option<&str>,
    ) -> Result<GraphQlSocket, Error> {
        GraphQlSocket::open_with(&self.address.to_string(), protocol, authorization).await
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let reply = testkit::reply(request).await.unwrap();
    (reply.status, reply.body)
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
