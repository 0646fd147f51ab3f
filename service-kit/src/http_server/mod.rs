//! Serves HTTP connections within bounds: how many, and how long a client may keep one without using it.
//!
//! hyper bounds how long a request's head may take only once it knows the version of HTTP. Here a connection is watched
//! from its first moment, whatever its client sends or doesn't.

mod activity;
mod open_files;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use self::activity::Activity;
pub use self::open_files::raise_open_files_limit;

/// How long to wait when the process is out of file descriptors.
const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_millis(100);
/// How long kept-alive connections are still read from after the process has stopped accepting: a request may be on its
/// way. Each response closes its connection, so that busy connections are gone by then.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_POLL_INTERVAL: Duration = Duration::from_millis(10);
/// How long a connection that ends may take to say so.
const GOODBYE: Duration = Duration::from_secs(1);
/// How often the client of an HTTP/2 connection is pinged, and how long it may take to answer.
const HTTP2_PING: Duration = Duration::from_secs(20);

/// Bounds on a server's connections.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Connections open at once, WebSockets included; the next ones wait in the kernel's queue.
    pub max_connections: usize,
    /// How long a client may take until its first request has begun.
    pub first_request: Duration,
    /// How long a connection is kept without a request under way. Longer than the load balancer in front keeps it.
    pub keep_alive: Duration,
    /// How long a client may leave a response unread.
    pub unread: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            max_connections: 16_384,
            first_request: Duration::from_secs(15),
            keep_alive: Duration::from_secs(75),
            unread: Duration::from_secs(30),
        }
    }
}

/// Counts as one of the server's connections as long as a clone of it lives. Every request carries it in its extensions,
/// for what goes on over the connection after an upgrade.
#[derive(Debug, Clone)]
pub struct ConnectionPermit(#[expect(dead_code, reason = "held, not read")] Arc<OwnedSemaphorePermit>);

/// Serves `router` until `closing`, then lets requests finish, also those that a client had sent, or was about to send
/// over an open connection, before it could know. The caller bounds how long finishing may take by dropping the future.
///
/// Requests carry [`ConnectInfo<SocketAddr>`] and [`ConnectionPermit`].
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    closing: CancellationToken,
) {
    let server = Server {
        router,
        limits,
        permits: Arc::new(Semaphore::new(limits.max_connections)),
        connections: TaskTracker::new(),
        shutting_down: CancellationToken::new(),
    };
    loop {
        let accepted = tokio::select! {
            accepted = server.accept(&listener) => accepted,
            () = closing.cancelled() => break,
        };
        match accepted {
            Ok((stream, client, permit)) => server.spawn(stream, client, permit),
            // The client ended the connection.
            Err(error) if is_connection_error(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                tokio::time::sleep(ACCEPT_RETRY_INTERVAL).await;
            }
        }
    }
    server.accept_backlog(listener);
    let gone = async {
        while !server.connections.is_empty() {
            tokio::time::sleep(LINGER_POLL_INTERVAL).await;
        }
    };
    drop(tokio::time::timeout(LINGER, gone).await);
    server.shutting_down.cancel();
    server.connections.close();
    server.connections.wait().await;
}

struct Server {
    router: Router,
    limits: ConnectionLimits,
    permits: Arc<Semaphore>,
    connections: TaskTracker,
    /// Once cancelled, connections end after the requests that are under way.
    shutting_down: CancellationToken,
}

impl Server {
    async fn accept(
        &self,
        listener: &TcpListener,
    ) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.expect("the semaphore is never closed");
        let (stream, client) = listener.accept().await?;
        // Responses and events are small and wanted at once.
        stream.set_nodelay(true)?;
        Ok((stream, client, permit))
    }

    /// Takes the connections that the kernel has accepted by now, which would be reset with the listener; later ones are
    /// refused.
    fn accept_backlog(&self, listener: TcpListener) {
        let Ok(listener) = listener.into_std() else { return };
        while let Ok((stream, client)) = listener.accept() {
            // Connections over the bound are dropped: after this no connection is accepted again.
            let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else { return };
            let ready = stream.set_nodelay(true).and_then(|()| stream.set_nonblocking(true));
            match ready.and_then(|()| TcpStream::from_std(stream)) {
                Ok(stream) => self.spawn(stream, client, permit),
                Err(error) => tracing::debug!(%error, "connection not accepted"),
            }
        }
    }

    fn spawn(&self, stream: TcpStream, client: SocketAddr, permit: OwnedSemaphorePermit) {
        let permit = ConnectionPermit(Arc::new(permit));
        let (router, limits) = (self.router.clone(), self.limits);
        let shutting_down = self.shutting_down.clone();
        self.connections.spawn(async move {
            // Ends in an error if the client sends a malformed request or the connection is lost.
            if let Err(error) = serve_connection(stream, client, permit, router, limits, shutting_down).await
            {
                tracing::debug!(%error, %client, "connection ended early");
            }
        });
    }
}

async fn serve_connection(
    stream: TcpStream,
    client: SocketAddr,
    permit: ConnectionPermit,
    router: Router,
    limits: ConnectionLimits,
    shutting_down: CancellationToken,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let activity = Arc::new(Activity::new());
    let service = service_fn(|mut request: axum::http::Request<Incoming>| {
        let under_way = Activity::begin(&activity);
        request.extensions_mut().insert(ConnectInfo(client));
        request.extensions_mut().insert(permit.clone());
        let responding = router.clone().oneshot(request.map(Body::new));
        async move { responding.await.map(|response| response.map(|body| under_way.until_read(body))) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // The bound on the first head is `first_request`; hyper counts the time between two requests to the next head.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.keep_alive.max(limits.first_request));
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(HTTP2_PING).keep_alive_timeout(HTTP2_PING);
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = shutting_down.cancelled() => {
            connection.as_mut().graceful_shutdown();
            return connection.await;
        }
        unused = activity.unused(&limits) => tracing::debug!(%client, ?unused, "connection closed"),
    }
    connection.as_mut().graceful_shutdown();
    tokio::time::timeout(GOODBYE, connection).await.unwrap_or(Ok(()))
}

fn is_connection_error(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput};
    matches!(error.kind(), ConnectionRefused | ConnectionAborted | ConnectionReset | InvalidInput)
}
