use std::{io, sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::Lifecycle;

/// Connections open at once; the next ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 16_384;

/// How long a client may take over a request's head. Without it, connections that say nothing or
/// dribble hold their place for ever.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);

/// How long to wait where the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long connections that were kept alive are still listened to once the process stops accepting: a request may be
/// on its way. Each answer closes its connection, so whoever is busy is gone by then.
const FAREWELL: Duration = Duration::from_millis(500);
const FAREWELL_LOOK: Duration = Duration::from_millis(10);

/// Serves connections until `lifecycle.closing`, then lets requests and sockets finish, those included that a client
/// had sent, or was about to send over a connection it had, before it could know.
///
/// Bounds on how long finishing may take are the caller's: drop the future.
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
            // The peer's own doing, and over.
            Err(error) if is_connection_error(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    accept_the_rest(listener, |stream| {
        // More than there are places for wait no longer, as nobody would come back to them.
        if let Ok(permit) = Arc::clone(&permits).try_acquire_owned() {
            serve_connection(stream, permit, router.clone(), &graceful);
        }
    });
    let gone = async {
        while graceful.count() > 0 {
            tokio::time::sleep(FAREWELL_LOOK).await;
        }
    };
    drop(tokio::time::timeout(FAREWELL, gone).await);
    graceful.shutdown().await;
    lifecycle.sockets_closed().await;
}

/// Takes what the kernel has accepted by now, which would be reset with the listener; the next ones are refused.
fn accept_the_rest(listener: TcpListener, mut serve: impl FnMut(TcpStream)) {
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((stream, _)) = listener.accept() {
        let stream = stream
            .set_nodelay(true)
            .and_then(|()| stream.set_nonblocking(true))
            .and_then(|()| TcpStream::from_std(stream));
        match stream {
            Ok(stream) => serve(stream),
            Err(error) => tracing::debug!(%error, "a connection could not be taken"),
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
        // Ends in an error for a malformed request or a lost connection; both are the peer's.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection ended early");
        }
    });
}

fn is_connection_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::InvalidInput
    )
}
