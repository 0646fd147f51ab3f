//! What waits to be written to a socket.

use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use futures::{SinkExt, stream::SplitSink};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{close::Close, message::ServerMessage};

/// Handshakes, pongs, refusals and closes that may wait. A peer that causes more without reading
/// them is let go.
const CONTROL_MESSAGES: usize = 64;

/// A message of an operation; it is skipped where the client has ended the operation meanwhile.
struct ResultMessage {
    text: String,
    ended: CancellationToken,
}

/// The two bounded queues in front of a socket: results, which wait for room, and control messages,
/// which go first and never wait.
#[derive(Clone)]
pub(super) struct Outbox {
    results: mpsc::Sender<ResultMessage>,
    control: mpsc::Sender<Message>,
}

/// The peer reads nothing and keeps asking.
#[derive(Debug)]
pub(super) struct PeerOverrun;

/// Takes messages from the queues to the socket until a close is written, the socket fails, or
/// every outbox is gone.
pub(super) struct Writer {
    sink: SplitSink<WebSocket, Message>,
    results: mpsc::Receiver<ResultMessage>,
    control: mpsc::Receiver<Message>,
}

pub(super) fn outbox(sink: SplitSink<WebSocket, Message>, waiting_results: usize) -> (Outbox, Writer) {
    let (results, results_queue) = mpsc::channel(waiting_results);
    let (control, control_queue) = mpsc::channel(CONTROL_MESSAGES);
    let writer = Writer { sink, results: results_queue, control: control_queue };
    (Outbox { results, control }, writer)
}

impl Outbox {
    /// Queues an operation's message once there is room. False where the socket is gone.
    pub(super) async fn result(&self, text: String, ended: &CancellationToken) -> bool {
        let ended = ended.clone();
        self.results.send(ResultMessage { text, ended }).await.is_ok()
    }

    /// Queues a message of the session itself.
    pub(super) fn control(&self, message: &ServerMessage<'_>) -> Result<(), PeerOverrun> {
        self.control.try_send(Message::text(message.to_json())).map_err(|_| PeerOverrun)
    }

    /// Pings the peer, unless so much waits already that it will be heard from or let go anyway.
    pub(super) fn ping(&self) {
        let _ = self.control.try_send(Message::Ping(Default::default()));
    }

    /// Queues the last message of all.
    pub(super) async fn close(&self, close: &Close, within: Duration) {
        let frame = Message::Close(Some(close.frame()));
        let _ = self.control.send_timeout(frame, within).await;
    }
}

impl Writer {
    pub(super) async fn run(mut self) {
        loop {
            let message = tokio::select! {
                biased;
                Some(message) = self.control.recv() => message,
                Some(result) = self.results.recv() => {
                    if result.ended.is_cancelled() {
                        continue;
                    }
                    Message::text(result.text)
                }
                else => return,
            };
            let is_last = matches!(message, Message::Close(_));
            if self.sink.send(message).await.is_err() || is_last {
                return;
            }
        }
    }
}
