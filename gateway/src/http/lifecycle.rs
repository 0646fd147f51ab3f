use axum::{
    extract::{Request, State},
    http::{HeaderValue, StatusCode, Version, header},
    middleware::Next,
    response::Response,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How the process tells the edge that it stops: first `draining`, later `closing`.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    /// Once cancelled, `/readyz` says 503 and responses ask clients to connect elsewhere, while
    /// requests are served as before.
    pub draining: CancellationToken,
    /// Once cancelled, no connection is accepted, sockets are closed with 1001, and what has begun
    /// is finished.
    pub closing: CancellationToken,
    pub(super) sockets: TaskTracker,
}

impl Lifecycle {
    /// A lifecycle that ends when its tokens say so.
    pub fn new(draining: CancellationToken, closing: CancellationToken) -> Self {
        Self { draining, closing, sockets: TaskTracker::new() }
    }

    /// Waits until every socket has closed. Call it once `closing` is cancelled.
    pub async fn sockets_closed(&self) {
        self.sockets.close();
        self.sockets.wait().await;
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.is_cancelled() || self.closing.is_cancelled()
    }
}

/// Ends kept-alive connections while draining, so that clients reconnect to a copy that stays.
pub(super) async fn announce_drain(
    State(lifecycle): State<Lifecycle>,
    request: Request,
    next: Next,
) -> Response {
    // HTTP/2 has no Connection header; it says GOAWAY when the server stops.
    let has_connection_header = request.version() <= Version::HTTP_11;
    let mut response = next.run(request).await;
    let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if has_connection_header && !is_upgrade && lifecycle.is_draining() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}
