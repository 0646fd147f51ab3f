//! How a socket ends: what is under way is finished, the close frame is written, and what the client still sends is read.

use std::time::Duration;

use async_graphql::Executor;
use futures::StreamExt;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::protocol::CloseCode;
use super::session::Session;

/// How long a close frame may take to be written, and how long a client may be silent before its connection is dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a client that goes on sending is read from. A connection that is dropped with unread bytes is reset, and its
/// client may never read the close frame.
const LINGER: Duration = Duration::from_secs(10);

impl<E: Executor> Session<E> {
    /// Ends the operations, writes a close frame, and waits, bounded, for the client's.
    pub(super) async fn close(mut self, code: CloseCode) {
        if code.is_resumed() {
            self.finish_requests().await;
        }
        self.tasks.abort_all();
        self.send_queue.close(&code, CLOSE_TIMEOUT).await;
        let Self { mut input, mut io, mut writer, input_is_broken, .. } = self;
        let writing = async {
            let written = writer.is_finished() || timeout(CLOSE_TIMEOUT, &mut writer).await.is_ok();
            if written && input_is_broken {
                // The WebSocket layer won't see the client's own close frame.
                let _ = io.clone().shut_down().await;
            }
        };
        let reading = async {
            let mut is_broken = input_is_broken;
            while !is_broken {
                match timeout(CLOSE_TIMEOUT, input.next()).await {
                    Ok(Some(message)) => is_broken = message.is_err(),
                    Ok(None) | Err(_) => return,
                }
            }
            while let Ok(true) = timeout(CLOSE_TIMEOUT, io.clone().discard()).await {}
        };
        // Both at once: a client may read only once it has sent everything.
        tokio::join!(writing, timeout(LINGER, reading)).1.ok();
        let _ = io.shut_down().await;
        writer.abort();
    }

    /// Reads until the client's close frame is answered, bounded: the WebSocket layer writes its own answers while reading.
    pub(super) async fn answer_close(mut self) {
        let answered = async { while let Some(Ok(_)) = self.input.next().await {} };
        let _ = timeout(CLOSE_TIMEOUT, answered).await;
        self.writer.abort();
    }

    /// Ends subscriptions and lets queries and mutations finish, bounded. Clients send again over their next connection
    /// what a closed socket cuts off: a mutation would be executed twice. New messages are not handled any more.
    async fn finish_requests(&mut self) {
        self.closing.cancel();
        self.requests.close();
        let requests = self.requests.clone();
        let limit = self.shared.limits.request_timeout + CLOSE_TIMEOUT;
        let mut finished = std::pin::pin!(timeout(limit, requests.wait()));
        loop {
            tokio::select! {
                _ = &mut finished => return,
                _ = &mut self.writer => return,
                message = self.input.next() => match message {
                    Some(Ok(Message::Close(_))) | None => return,
                    Some(Err(_)) => {
                        self.input_is_broken = true;
                        return;
                    }
                    Some(Ok(_)) => {}
                }
            }
        }
    }
}
