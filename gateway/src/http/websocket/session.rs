//! One socket: handshake, operations, liveness, and how it ends.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use async_graphql::Executor;
use axum::extract::ws::{Message, WebSocket};
use futures::future::{BoxFuture, pending};
use futures::stream::SplitStream;
use futures::{FutureExt, StreamExt};
use rand::RngExt;
use serde_json::{Map, Value};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::MAX_MESSAGE_BYTES;
use super::operations::{OperationTask, Operations, StartError};
use super::protocol::{ClientMessage, CloseCode, ServerMessage};
use super::send_queue::{SendQueue, send_queue};
use crate::auth::{AuthError, Viewer};
use crate::http::Shared;
use crate::query::{ErrorCode, GraphqlRequest, Trace, request_errors};

/// Sockets are closed spread over this time when the gateway stops, so that its clients don't all reach the next
/// gateway at once.
const CLOSE_SPREAD: Duration = Duration::from_millis(500);

/// How long a close may take before the connection is dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// No socket lives as long; timers don't reach much further.
const FAR_FUTURE: Duration = Duration::from_secs(365 * 24 * 3600);

/// Which side ends a session, if the connection doesn't.
enum CloseReason {
    Gateway(CloseCode),
    /// The client waits for the gateway's close frame.
    Client,
    ConnectionLost,
}

/// How far a socket has come in signing in. Messages are read all along.
enum Handshake {
    /// No `connection_init` yet.
    Awaited,
    Checking(BoxFuture<'static, Result<Option<Viewer>, AuthError>>),
    /// Signed in, or let in without a token.
    Done(Option<Viewer>),
}

pub(super) struct Session<E> {
    shared: Arc<Shared<E>>,
    input: SplitStream<WebSocket>,
    send_queue: SendQueue,
    writer: JoinHandle<()>,
    handshake: Handshake,
    /// The upgrade's own `Authorization`, for clients whose `connection_init` has none.
    authorization: Option<String>,
    operations: Operations,
    tasks: JoinSet<Option<CloseCode>>,
    /// The queries and mutations under way, and operations of which it is not known yet what they are.
    requests: TaskTracker,
    /// Ends the subscriptions.
    closing: CancellationToken,
    /// When the viewer's token ends.
    expires_at: Instant,
    last_received: Instant,
}

impl<E: Executor> Session<E> {
    pub(super) fn new(socket: WebSocket, shared: Arc<Shared<E>>, authorization: Option<String>) -> Self {
        let (sink, input) = socket.split();
        let (send_queue, writer) = send_queue(sink);
        Self {
            shared,
            input,
            send_queue,
            writer: tokio::spawn(writer.run()),
            handshake: Handshake::Awaited,
            authorization,
            operations: Operations::default(),
            tasks: JoinSet::new(),
            requests: TaskTracker::new(),
            closing: CancellationToken::new(),
            expires_at: Instant::now() + FAR_FUTURE,
            last_received: Instant::now(),
        }
    }

    /// Serves the socket until the gateway or the client closes it.
    pub(super) async fn run(mut self) {
        match self.serve().await {
            CloseReason::Gateway(code) => self.close(code).await,
            CloseReason::Client => self.drain().await,
            CloseReason::ConnectionLost => self.writer.abort(),
        }
    }

    async fn serve(&mut self) -> CloseReason {
        let limits = self.shared.limits.clone();
        let init_deadline = Instant::now() + limits.init_timeout;
        let mut pings = interval_at(Instant::now() + limits.ping_interval, limits.ping_interval);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopping = std::pin::pin!(stopping(self.shared.lifecycle.closing.clone()));
        loop {
            let is_awaited = matches!(self.handshake, Handshake::Awaited);
            let flow = tokio::select! {
                message = self.input.next() => self.on_message(message),
                checked = self.handshake.checked() => self.on_checked(checked),
                () = sleep_until(init_deadline), if is_awaited => close_with(CloseCode::InitTimeout),
                () = sleep_until(self.expires_at) => close_with(CloseCode::TokenExpired),
                _ = pings.tick() => self.ping(limits.dead_after),
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    ended.ok().flatten().map_or(ControlFlow::Continue(()), close_with)
                }
                _ = &mut self.writer => ControlFlow::Break(CloseReason::ConnectionLost),
                () = &mut stopping => close_with(CloseCode::GoingAway),
            };
            if let ControlFlow::Break(reason) = flow {
                return reason;
            }
        }
    }

    fn on_message(&mut self, message: Option<Result<Message, axum::Error>>) -> ControlFlow<CloseReason> {
        self.last_received = Instant::now();
        match message {
            Some(Ok(Message::Text(text))) => self.on_text(&text),
            Some(Ok(Message::Binary(_))) => {
                close_with(CloseCode::BadRequest("messages are text, not binary"))
            }
            // The WebSocket layer answers pings.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => ControlFlow::Continue(()),
            Some(Ok(Message::Close(_))) => ControlFlow::Break(CloseReason::Client),
            Some(Err(error)) if is_too_big(&error) => close_with(CloseCode::MessageTooBig),
            Some(Err(_)) | None => ControlFlow::Break(CloseReason::ConnectionLost),
        }
    }

    fn on_text(&mut self, text: &str) -> ControlFlow<CloseReason> {
        if text.len() > MAX_MESSAGE_BYTES {
            return close_with(CloseCode::MessageTooBig);
        }
        match ClientMessage::parse(text) {
            Ok(ClientMessage::ConnectionInit { payload }) => self.on_init(payload),
            Ok(ClientMessage::Ping { payload }) => self.send(&ServerMessage::Pong { payload }),
            Ok(ClientMessage::Pong) => ControlFlow::Continue(()),
            Ok(ClientMessage::Complete { id }) => {
                self.operations.complete(&id);
                ControlFlow::Continue(())
            }
            Ok(ClientMessage::Subscribe { id, request }) => self.on_subscribe(id, *request),
            Err(reason) => close_with(CloseCode::BadRequest(reason)),
        }
    }

    /// Begins to check the token of a `connection_init` payload, or the token of the upgrade if the payload has none.
    fn on_init(&mut self, mut payload: Map<String, Value>) -> ControlFlow<CloseReason> {
        if !matches!(self.handshake, Handshake::Awaited) {
            return close_with(CloseCode::TooManyInits);
        }
        let mut given = |name| payload.remove(name).filter(|value: &Value| !value.is_null());
        let authorization = match given("authorization").or_else(|| given("Authorization")) {
            Some(Value::String(authorization)) => Some(authorization),
            Some(_) => return close_with(CloseCode::BadRequest("authorization must be a string")),
            None => self.authorization.take(),
        };
        let authenticator = self.shared.authenticator.clone();
        let check = async move { authenticator.authenticate(authorization.as_deref()).await };
        self.handshake = Handshake::Checking(check.boxed());
        ControlFlow::Continue(())
    }

    fn on_checked(&mut self, checked: Result<Option<Viewer>, AuthError>) -> ControlFlow<CloseReason> {
        let viewer = match checked {
            Ok(viewer) => viewer,
            Err(AuthError::BadToken) => return close_with(CloseCode::Forbidden),
            Err(AuthError::Unavailable) => return close_with(CloseCode::TryAgainLater),
        };
        if let Some(viewer) = &viewer {
            self.expires_at = Instant::now() + self.shared.authenticator.time_left(viewer).min(FAR_FUTURE);
        }
        self.handshake = Handshake::Done(viewer);
        self.send(&ServerMessage::ConnectionAck)
    }

    fn on_subscribe(&mut self, id: String, request: GraphqlRequest) -> ControlFlow<CloseReason> {
        let Handshake::Done(viewer) = &self.handshake else { return close_with(CloseCode::Unauthorized) };
        let limits = &self.shared.limits;
        let ended = match self.operations.start(&id, limits.max_operations) {
            Ok(ended) => ended,
            Err(StartError::IdInUse) => return close_with(CloseCode::SubscriberExists(id)),
            Err(StartError::TooMany) => {
                let message = format!("this socket has {} operations under way", limits.max_operations);
                let errors =
                    request_errors(vec![ErrorCode::RateLimited.error(message).into()], &Trace::root());
                return self.send(&ServerMessage::Error { id: &id, payload: &errors });
            }
        };
        let task = OperationTask {
            id,
            executor: self.shared.executor.clone(),
            shared_operations: self.shared.shared_operations.clone(),
            send_queue: self.send_queue.clone(),
            operations: self.operations.clone(),
            ended,
            closing: self.closing.clone(),
            max_message_bytes: limits.max_outgoing_bytes,
        };
        self.tasks.spawn(task.run(request, viewer.clone(), self.requests.token()));
        ControlFlow::Continue(())
    }

    fn ping(&mut self, dead_after: Duration) -> ControlFlow<CloseReason> {
        if self.last_received.elapsed() >= dead_after {
            return ControlFlow::Break(CloseReason::ConnectionLost);
        }
        self.send_queue.ping();
        ControlFlow::Continue(())
    }

    /// Queues a message of the session itself; a client that doesn't read them is disconnected.
    fn send(&self, message: &ServerMessage<'_>) -> ControlFlow<CloseReason> {
        let sent = self.send_queue.control(message);
        sent.map_or(ControlFlow::Break(CloseReason::ConnectionLost), ControlFlow::Continue)
    }

    /// Ends the operations, writes a close frame, and waits, bounded, for the client's.
    pub(super) async fn close(mut self, code: CloseCode) {
        if code.is_resumed() {
            self.finish_requests().await;
        }
        self.tasks.abort_all();
        self.send_queue.close(&code, CLOSE_TIMEOUT).await;
        self.drain().await;
    }

    /// Ends subscriptions and lets queries and mutations finish, bounded. Clients send again over their next connection
    /// what a closed socket cuts off: a mutation would be executed twice. New messages are not handled any more.
    async fn finish_requests(&mut self) {
        self.closing.cancel();
        self.requests.close();
        let requests = self.requests.clone();
        let mut finished = std::pin::pin!(tokio::time::timeout(
            self.shared.limits.request_timeout + CLOSE_TIMEOUT,
            requests.wait()
        ));
        loop {
            tokio::select! {
                _ = &mut finished => return,
                _ = &mut self.writer => return,
                message = self.input.next() => {
                    if matches!(message, None | Some(Err(_) | Ok(Message::Close(_)))) {
                        return;
                    }
                }
            }
        }
    }

    /// Reads until the client sends nothing more, bounded. The WebSocket layer writes its own answers while reading.
    async fn drain(mut self) {
        let drained = async { while let Some(Ok(_)) = self.input.next().await {} };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, drained).await;
        self.writer.abort();
    }
}

impl Handshake {
    /// Returns the outcome of checking a token, once; never ready while none is being checked.
    async fn checked(&mut self) -> Result<Option<Viewer>, AuthError> {
        match self {
            Self::Checking(check) => check.await,
            Self::Awaited | Self::Done(_) => pending().await,
        }
    }
}

fn close_with(code: CloseCode) -> ControlFlow<CloseReason> {
    ControlFlow::Break(CloseReason::Gateway(code))
}

fn is_too_big(error: &axum::Error) -> bool {
    use tokio_tungstenite::tungstenite::Error;
    std::error::Error::source(error)
        .and_then(|source| source.downcast_ref())
        .is_some_and(|error| matches!(error, Error::Capacity(_)))
}

async fn stopping(closing: CancellationToken) {
    closing.cancelled().await;
    let pause = rand::rng().random_range(Duration::ZERO..CLOSE_SPREAD);
    tokio::time::sleep(pause).await;
}
