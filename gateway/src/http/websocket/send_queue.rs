//! The messages that wait to be written to a socket.

use std::time::Duration;

use futures::{SinkExt, stream::SplitSink};
use tokio::sync::mpsc;
use tokio_tungstenite::{WebSocketStream, tungstenite::Message};
use tokio_util::sync::CancellationToken;

use super::io::SocketIo;
use super::protocol::{CloseCode, ServerMessage, Subprotocol};

/// Results waiting for a slow client; beyond that its operations wait.
const RESULT_MESSAGES: usize = 8;

/// Handshakes, pongs, refusals and closes that may wait. A client that causes more without reading them is disconnected.
const CONTROL_MESSAGES: usize = 64;

/// A message that keeps its place behind the results before it. It is skipped if the client has ended its operation
/// meanwhile. Boxed, since a queue has room for 32 of its items even while it is empty.
type ResultMessage = Box<(Message, CancellationToken)>;

type Sink = SplitSink<WebSocketStream<SocketIo>, Message>;

/// The two bounded queues in front of a socket: results, which wait for room, and control messages, which go first and
/// never wait.
#[derive(Clone)]
pub(super) struct SendQueue {
    subprotocol: Subprotocol,
    results: mpsc::Sender<ResultMessage>,
    control: mpsc::Sender<Box<Message>>,
}

/// The client reads nothing and keeps asking.
#[derive(Debug)]
pub(super) struct SlowClient;

/// Takes messages from the queues to the socket.
pub(super) struct Writer {
    sink: Sink,
    results: mpsc::Receiver<ResultMessage>,
    control: mpsc::Receiver<Box<Message>>,
}

pub(super) fn send_queue(sink: Sink, subprotocol: Subprotocol) -> (SendQueue, Writer) {
    let (results, waiting_results) = mpsc::channel(RESULT_MESSAGES);
    let (control, waiting_control) = mpsc::channel(CONTROL_MESSAGES);
    let writer = Writer { sink, results: waiting_results, control: waiting_control };
    (SendQueue { subprotocol, results, control }, writer)
}

impl SendQueue {
    /// Queues an operation's message once there is room; drops it if the socket is gone.
    pub(super) async fn result(&self, text: String, ended: &CancellationToken) {
        let _ = self.results.send(Box::new((Message::text(text), ended.clone()))).await;
    }

    /// Gives way to the socket's other operations if more than one result waits: a sender whose next result is ready takes
    /// all the room that the client makes.
    pub(super) async fn give_way(&self) {
        if self.results.capacity() + 1 < RESULT_MESSAGES {
            tokio::task::yield_now().await;
        }
    }

    /// Queues a message of the session itself.
    pub(super) fn control(&self, message: ServerMessage<'_>) -> Result<(), SlowClient> {
        let text = message.to_json(self.subprotocol);
        self.control.try_send(Box::new(Message::text(text))).map_err(|_| SlowClient)
    }

    /// Pings the client, unless the queue is full: its messages make the client answer, or show that it is gone.
    pub(super) fn ping(&self) {
        let _ = self.control.try_send(Box::new(Message::Ping(Default::default())));
    }

    /// Queues the last message of all, behind the results if the client resumes after it.
    pub(super) async fn close(&self, code: &CloseCode, within: Duration) {
        let frame = Message::Close(Some(code.frame()));
        if code.is_resumed() {
            let _ = self.results.send_timeout(Box::new((frame, CancellationToken::new())), within).await;
        } else {
            let _ = self.control.send_timeout(Box::new(frame), within).await;
        }
    }
}

impl Writer {
    /// Writes until a close is written, the socket fails, or every send queue is dropped.
    pub(super) async fn run(mut self) {
        loop {
            let message = tokio::select! {
                biased;
                Some(message) = self.control.recv() => *message,
                Some(result) = self.results.recv() => {
                    let (message, ended) = *result;
                    if ended.is_cancelled() {
                        continue;
                    }
                    message
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
