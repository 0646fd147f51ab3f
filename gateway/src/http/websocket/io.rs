//! The byte stream below a WebSocket, which can still be read when the WebSocket layer has given it up.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::future::poll_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const DISCARD_BYTES: usize = 16 * 1024;

/// One socket's byte stream. Clones are the same stream.
#[derive(Clone)]
pub(super) struct SocketIo(Arc<Mutex<TokioIo<Upgraded>>>);

impl SocketIo {
    pub(super) fn new(upgraded: Upgraded) -> Self {
        Self(Arc::new(Mutex::new(TokioIo::new(upgraded))))
    }

    /// Says that nothing more will be written.
    pub(super) async fn shut_down(&mut self) -> io::Result<()> {
        poll_fn(|cx| Pin::new(&mut *self).poll_shutdown(cx)).await
    }

    /// Reads some of what the client sends, and discards it. Returns false once the client sends nothing more.
    pub(super) async fn discard(&mut self) -> bool {
        // On the heap: as a part of the future it would belong to each idle socket.
        let mut bytes = vec![0; DISCARD_BYTES];
        let mut read = ReadBuf::new(&mut bytes);
        let ended = poll_fn(|cx| Pin::new(&mut *self).poll_read(cx, &mut read)).await;
        ended.is_ok() && !read.filled().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, TokioIo<Upgraded>> {
        // Nothing panics while holding the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for SocketIo {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, read: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_read(cx, read)
    }
}

impl AsyncWrite for SocketIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.lock()).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_shutdown(cx)
    }
}
