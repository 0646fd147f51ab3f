//! Serves the public port's connections, and ends them when the process stops.

use axum::http::{HeaderValue, StatusCode, Version, header};
use axum::{Router, response::Response};
use service_kit::http_server::{self, ConnectionLimits};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How the process ends the server: first `draining`, later `closing`.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    /// Once cancelled, responses ask clients to connect elsewhere, while requests are served as before.
    pub draining: CancellationToken,
    /// Once cancelled, no connection is accepted, sockets are closed with 1001, and running requests are finished.
    pub closing: CancellationToken,
    pub(crate) sockets: TaskTracker,
}

/// Serves connections until `lifecycle.closing`, then lets requests and sockets finish. The caller bounds how long
/// finishing may take by dropping the future.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    connections: ConnectionLimits,
    lifecycle: Lifecycle,
) {
    http_server::serve(listener, router, connections, lifecycle.closing.clone()).await;
    lifecycle.sockets.close();
    lifecycle.sockets.wait().await;
}

/// Ends kept-alive connections while draining, so that clients connect to a copy that stays.
pub(super) fn announce_drain(lifecycle: &Lifecycle, version: Version, response: &mut Response) {
    // HTTP/2 has no Connection header; it says GOAWAY when the server stops.
    let has_connection_header = version <= Version::HTTP_11;
    let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let is_draining = lifecycle.draining.is_cancelled() || lifecycle.closing.is_cancelled();
    if has_connection_header && !is_upgrade && is_draining {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}
