//! The gateway's edge: GraphQL over HTTP and WebSocket, the playground, and the health endpoints,
//! over any schema. It knows callers, documents and limits, and nothing of orders.

mod document;
mod engine;
mod handler;
mod health;
mod lifecycle;
mod limits;
mod outcome;
pub mod playground;
mod request;
mod request_data;
mod server;
mod trace;
mod websocket;

use std::sync::Arc;

use async_graphql::Executor;
use axum::{
    Router,
    routing::{any, get},
};
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;

use self::engine::Engine;
pub use self::{
    health::Readiness,
    lifecycle::Lifecycle,
    limits::{DocumentLimits, Limits, SocketLimits},
    playground::Playground,
    request_data::{PerExecution, RequestData},
    server::serve,
};
use crate::auth::Authenticator;
pub use crate::query::{ErrorCode, GraphqlError, Outcome};

/// What the edge is built from.
pub struct GraphqlServer<E> {
    /// The schema.
    pub executor: E,
    /// Gives each operation its data.
    pub data: Arc<dyn RequestData>,
    /// Checks tokens. Whoever builds the edge also runs [`Authenticator::refresh_jwks`].
    pub authenticator: Authenticator,
    /// Says what is missing before requests can be served.
    pub readiness: Arc<dyn Readiness>,
    /// The page at `/`.
    pub playground: Playground,
    /// The bounds.
    pub limits: Limits,
    /// Tells the edge that the process is about to stop.
    pub lifecycle: Lifecycle,
}

/// What handlers share.
struct Shared<E> {
    engine: Engine<E>,
    authenticator: Authenticator,
    limits: Limits,
    lifecycle: Lifecycle,
    sockets: Arc<Semaphore>,
}

impl<E: Executor> GraphqlServer<E> {
    /// The routes: `/graphql`, `/`, `/livez` and `/readyz`.
    pub fn router(self) -> Router {
        let health = health::Health {
            readiness: self.readiness,
            authenticator: self.authenticator.clone(),
            lifecycle: self.lifecycle.clone(),
        };
        let shared = Arc::new(Shared {
            engine: Engine::new(self.executor, self.data, &self.limits),
            sockets: Arc::new(Semaphore::new(self.limits.sockets.max_sockets)),
            authenticator: self.authenticator,
            limits: self.limits,
            lifecycle: self.lifecycle.clone(),
        });
        Router::new()
            .route("/graphql", any(handler::graphql::<E>))
            .with_state(shared)
            .route("/", get(playground::page))
            .with_state(Arc::new(self.playground.render()))
            .merge(health.routes())
            .layer(CatchPanicLayer::custom(handler::panicked))
            .layer(axum::middleware::from_fn_with_state(self.lifecycle, lifecycle::announce_drain))
    }
}
