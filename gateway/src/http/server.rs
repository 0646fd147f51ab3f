//! Accepts and serves connections, and ends them when the process stops.

use std::{io, sync::Arc, time::Duration};

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, Version, header};
use axum::{Router, middleware::Next, response::Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::{server::conn::auto, server::graceful::GracefulShutdown, service::TowerToHyperService};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Connections open at once; the next ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 16_384;

/// How long a client may take over a request's head. Without it, connections that send nothing or very little would
/// stay open for ever.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);

/// How long to wait when the process is out of file descriptors.
const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// How long kept-alive connections are still read from after the process has stopped accepting: a request may be on its
/// way. Each response closes its connection, so that busy connections are gone by then.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_POLL_INTERVAL: Duration = Duration::from_millis(10);

/// How the process ends the server: first `draining`, later `closing`.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    /// Once cancelled, responses ask clients to connect elsewhere, while requests are served as before.
    pub draining: CancellationToken,
    /// Once cancelled, no connection is accepted, sockets are closed with 1001, and running requests are finished.
    pub closing: CancellationToken,
    pub(crate) sockets: TaskTracker,
}

/// Serves connections until `lifecycle.closing`, then lets requests and sockets finish, also requests that a client had
/// sent, or was about to send over an open connection, before it could know. The caller bounds how long finishing may
/// take by dropping the future.
pub async fn serve(listener: TcpListener, router: Router, lifecycle: Lifecycle) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &permits) => accepted,
            () = lifecycle.closing.cancelled() => break,
        };
        match accepted {
            Ok((stream, permit)) => serve_connection(stream, permit, router.clone(), &graceful),
            // The client ended the connection.
            Err(error) if is_connection_error(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "connection not accepted");
                tokio::time::sleep(ACCEPT_RETRY_INTERVAL).await;
            }
        }
    }
    accept_backlog(listener, |stream| {
        // Connections over the bound are dropped: after this no connection is accepted again.
        if let Ok(permit) = Arc::clone(&permits).try_acquire_owned() {
            serve_connection(stream, permit, router.clone(), &graceful);
        }
    });
    let gone = async {
        while graceful.count() > 0 {
            tokio::time::sleep(LINGER_POLL_INTERVAL).await;
        }
    };
    drop(tokio::time::timeout(LINGER, gone).await);
    graceful.shutdown().await;
    lifecycle.sockets.close();
    lifecycle.sockets.wait().await;
}

/// Takes the connections that the kernel has accepted by now, which would be reset with the listener; later ones are
/// refused.
fn accept_backlog(listener: TcpListener, mut serve: impl FnMut(TcpStream)) {
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((stream, _)) = listener.accept() {
        let ready = stream.set_nodelay(true).and_then(|()| stream.set_nonblocking(true));
        let stream = ready.and_then(|()| TcpStream::from_std(stream));
        match stream {
            Ok(stream) => serve(stream),
            Err(error) => tracing::debug!(%error, "connection not accepted"),
        }
    }
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.expect("the semaphore is never closed");
    let (stream, _) = listener.accept().await?;
    // Responses and events are small and wanted at once.
    stream.set_nodelay(true)?;
    Ok((stream, permit))
}

fn serve_connection(
    stream: TcpStream,
    permit: OwnedSemaphorePermit,
    router: Router,
    graceful: &GracefulShutdown,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder.http2().timer(TokioTimer::new());
    let connection = builder
        .serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(router))
        .into_owned();
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        let _permit = permit;
        // Ends in an error if the client sends a malformed request or the connection is lost.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection ended early");
        }
    });
}

fn is_connection_error(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidInput};
    matches!(error.kind(), ConnectionRefused | ConnectionAborted | ConnectionReset | InvalidInput)
}

/// Ends kept-alive connections while draining, so that clients connect to a copy that stays.
pub(super) async fn announce_drain(
    State(lifecycle): State<Lifecycle>,
    request: Request,
    next: Next,
) -> Response {
    // HTTP/2 has no Connection header; it says GOAWAY when the server stops.
    let has_connection_header = request.version() <= Version::HTTP_11;
    let mut response = next.run(request).await;
    let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let is_draining = lifecycle.draining.is_cancelled() || lifecycle.closing.is_cancelled();
    if has_connection_header && !is_upgrade && is_draining {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
