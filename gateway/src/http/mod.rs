//! GraphQL over HTTP and WebSocket, the playground and the console, and the health endpoints, over any schema.

mod accept;
mod admission;
mod body;
pub mod console;
mod cors;
mod csrf;
mod encoding;
mod handler;
mod headers;
pub mod playground;
mod rate_limits;
mod response;
mod results;
mod server;
mod stream;
mod websocket;

use std::{sync::Arc, time::Duration};

use axum::Router;
use axum::routing::{any, get, post};
use service_kit::{Liveness, Readiness, health};
use tokio::time::Instant;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate as _, SizeAbove};
use tower_http::compression::{CompressionLayer, CompressionLevel};
use tower_http::decompression::RequestDecompressionLayer;

use self::admission::Admission;
pub use self::console::Console;
pub use self::cors::CorsOrigins;
pub use self::playground::Playground;
use self::rate_limits::RateLimits;
pub use self::rate_limits::{Rate, RateLimitSettings};
pub use self::server::{Lifecycle, serve};
use self::stream::Tickets;
use crate::auth::Authenticator;
use crate::query::{DocumentSettings, GraphqlSchema, OperationExecutor, PersistedSettings};
use crate::subscriptions::SharedOperations;

/// Smaller responses are not compressed.
const COMPRESSED_FROM_BYTES: u64 = 1_024;

/// What the gateway's public port serves.
pub struct GraphqlServer<E> {
    pub executor: E,
    /// Checks tokens. Its signing keys are read by [`Authenticator::refresh_jwks`], which runs beside the server.
    pub authenticator: Authenticator,
    pub readiness: Readiness,
    /// The same as on the admin port, so that a probe of the public port restarts a gateway whose loops are dead.
    pub liveness: Liveness,
    /// The page at `/`, if there is one.
    pub playground: Option<Playground>,
    pub console: Console,
    pub limits: Limits,
    pub documents: DocumentSettings,
    pub persisted: PersistedSettings,
    pub rate_limits: RateLimitSettings,
    pub cors: CorsOrigins,
    pub lifecycle: Lifecycle,
}

struct Shared<E> {
    executor: OperationExecutor<E>,
    authenticator: Authenticator,
    limits: Limits,
    rate_limits: RateLimits,
    lifecycle: Lifecycle,
    readiness: Readiness,
    /// Until when an upgrade waits for the gateway to be ready for the first time.
    start_deadline: Instant,
    admission: Admission,
    tickets: Tickets,
    shared_operations: SharedOperations,
}

impl<E: GraphqlSchema> GraphqlServer<E> {
    /// Returns the routes: `/graphql`, tickets and streams below it, `/` and `/console` with their files, `/livez` and `/readyz`.
    pub fn router(self) -> Router {
        let Limits { max_concurrent_requests, request_timeout, start_wait, .. } = self.limits;
        let shared = Arc::new(Shared {
            executor: OperationExecutor::new(
                self.executor,
                self.documents,
                self.persisted,
                max_concurrent_requests,
                request_timeout,
            ),
            admission: Admission::new(&self.limits),
            tickets: Tickets::default(),
            shared_operations: SharedOperations::default(),
            authenticator: self.authenticator,
            limits: self.limits,
            rate_limits: RateLimits::new(&self.rate_limits),
            lifecycle: self.lifecycle.clone(),
            readiness: self.readiness.clone(),
            start_deadline: Instant::now() + start_wait,
        });
        // Compressed is what is worth it; events are sent as they come.
        let worth_compressing =
            SizeAbove::new(COMPRESSED_FROM_BYTES).and(NotForContentType::new("text/event-stream"));
        let playground = self.playground.map(|playground| {
            Router::new()
                .route("/", get(playground::page))
                .route(&format!("{}/{{*path}}", playground::OWN_FILES), get(playground::file))
                .with_state(Arc::new(playground.render()))
        });
        let worth_compressing = worth_compressing.and(NotForContentType::new("multipart/mixed"));
        let router = Router::new()
            .route("/graphql", any(handler::graphql::<E>))
            .route("/graphql/", any(handler::graphql::<E>))
            .route("/graphql/tickets", post(stream::issue_ticket::<E>))
            .route("/graphql/stream/{ticket}", get(handler::graphql_by_ticket::<E>))
            .with_state(shared)
            .merge(playground.unwrap_or_default())
            .merge(self.console.routes())
            .merge(health::routes(self.readiness, self.liveness))
            .fallback(handler::not_found)
            .method_not_allowed_fallback(handler::method_not_allowed)
            .layer(RequestDecompressionLayer::new())
            .layer(
                CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(worth_compressing),
            )
            .layer(axum::middleware::from_fn(handler::check_head))
            .layer(CatchPanicLayer::custom(handler::panicked))
            .layer(axum::middleware::from_fn_with_state(self.lifecycle, headers::complete));
        match self.cors.layer() {
            Some(cors) => router.layer(cors),
            None => router,
        }
    }
}

/// Bounds on the server. The defaults suit one gateway of two cores and 1 GiB.
#[derive(Clone, Debug)]
pub struct Limits {
    /// HTTP requests and socket operations (not subscriptions) under way at once.
    pub max_concurrent_requests: usize,
    /// Requests of a batch. 0 if there are none.
    pub max_batch: usize,
    /// Bytes of an HTTP request's body.
    pub max_body_bytes: usize,
    /// How long a client may take to send a body.
    pub body_timeout: Duration,
    /// How long a query or mutation may take.
    pub request_timeout: Duration,
    /// How long after its start a gateway that has not been ready yet keeps sockets waiting before it refuses them. Longer
    /// than it waits for its services.
    pub start_wait: Duration,
    /// WebSockets and streamed responses open at once.
    pub max_sockets: usize,
    /// Those of one customer.
    pub max_sockets_per_customer: usize,
    /// Subscriptions under way for one customer.
    pub max_subscriptions_per_customer: usize,
    /// Operations under way on one socket.
    pub max_operations: usize,
    /// Bytes of one message to a socket.
    pub max_outgoing_bytes: usize,
    /// How long a client may take to send `connection_init`.
    pub init_timeout: Duration,
    /// How often a socket's client is pinged.
    pub ping_interval: Duration,
    /// How long a socket's client may send nothing, not even pongs, before its connection counts as lost.
    pub dead_after: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_concurrent_requests: 1024,
            max_batch: 0,
            max_body_bytes: 1024 * 1024,
            body_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            start_wait: Duration::from_secs(12),
            max_sockets: 10_000,
            max_sockets_per_customer: 1_000,
            max_subscriptions_per_customer: 10_000,
            max_operations: 100,
            max_outgoing_bytes: 4 * 1024 * 1024,
            init_timeout: Duration::from_secs(3),
            ping_interval: Duration::from_secs(12),
            dead_after: Duration::from_secs(36),
        }
    }
}
