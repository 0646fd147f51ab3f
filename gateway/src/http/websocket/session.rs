//! One socket's conversation: handshake, operations, liveness, and how it ends.

use std::{ops::ControlFlow, sync::Arc, time::Duration};

use async_graphql::Executor;
use axum::extract::ws::{Message, WebSocket};
use futures::{StreamExt, future::pending, stream::SplitStream};
use rand::RngExt;
use serde_json::{Map, Value};
use tokio::{
    task::{JoinHandle, JoinSet},
    time::{Instant, MissedTickBehavior, interval_at, sleep_until},
};

use super::{
    close::Close,
    handshake::Handshake,
    message::{ClientMessage, ServerMessage},
    operations::{NotBegun, Operations, Run},
    outbox::{Outbox, PeerOverrun, outbox},
};
use crate::{
    auth::{AuthError, Viewer},
    http::{ErrorCode, Shared, engine::GraphqlRequest, outcome::GraphqlResult, trace::Trace},
};

/// Sockets are closed spread over this time when the gateway stops, so that its clients don't all
/// reach the next one in the same instant.
const CLOSE_SPREAD: Duration = Duration::from_millis(500);

/// No socket lives as long; timers don't reach much further.
const FAR_FUTURE: Duration = Duration::from_secs(365 * 24 * 3600);

/// How a session ends.
enum End {
    /// We close the socket.
    Close(Close),
    /// The peer closes it, and waits for our answer.
    ClosedByPeer,
    /// The connection is lost, or as good as.
    Gone,
}

type Flow = ControlFlow<End>;

impl From<PeerOverrun> for End {
    fn from(_: PeerOverrun) -> Self {
        Self::Gone
    }
}

pub(super) struct Session<E> {
    shared: Arc<Shared<E>>,
    input: SplitStream<WebSocket>,
    outbox: Outbox,
    writer: JoinHandle<()>,
    handshake: Handshake,
    /// The upgrade's own `Authorization`, for clients whose `connection_init` has none.
    authorization: Option<String>,
    operations: Operations,
    tasks: JoinSet<()>,
    expires_at: Option<Instant>,
    last_heard: Instant,
}

impl<E: Executor> Session<E> {
    pub(super) fn new(socket: WebSocket, shared: Arc<Shared<E>>, authorization: Option<String>) -> Self {
        let (sink, input) = socket.split();
        let (outbox, writer) = outbox(sink, shared.limits.sockets.outgoing_messages);
        Self {
            shared,
            input,
            outbox,
            writer: tokio::spawn(writer.run()),
            handshake: Handshake::Awaited,
            authorization,
            operations: Operations::default(),
            tasks: JoinSet::new(),
            expires_at: None,
            last_heard: Instant::now(),
        }
    }

    /// Serves the socket until it is closed, by whichever side.
    pub(super) async fn run(mut self) {
        match self.converse().await {
            End::Close(close) => self.close(close).await,
            End::ClosedByPeer => self.part().await,
            End::Gone => self.writer.abort(),
        }
    }

    async fn converse(&mut self) -> End {
        let limits = self.shared.limits.sockets.clone();
        let init_deadline = Instant::now() + limits.init_timeout;
        let mut pings = interval_at(Instant::now() + limits.ping_interval, limits.ping_interval);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopping = std::pin::pin!(stopping(&self.shared));
        loop {
            let flow = tokio::select! {
                message = self.input.next() => self.heard(message),
                checked = self.handshake.checked() => self.checked(checked),
                () = sleep_until(init_deadline), if self.handshake.is_awaited() => {
                    Flow::Break(End::Close(Close::InitTimeout))
                }
                () = reached(self.expires_at) => Flow::Break(End::Close(Close::TokenExpired)),
                _ = pings.tick() => self.check_peer(limits.dead_after),
                Some(_) = self.tasks.join_next(), if !self.tasks.is_empty() => Flow::Continue(()),
                _ = &mut self.writer => Flow::Break(End::Gone),
                () = &mut stopping => Flow::Break(End::Close(Close::GoingAway)),
            };
            if let Flow::Break(end) = flow {
                return end;
            }
        }
    }

    fn heard(&mut self, message: Option<Result<Message, axum::Error>>) -> Flow {
        self.last_heard = Instant::now();
        match message {
            Some(Ok(Message::Text(text))) => self.heard_text(&text),
            Some(Ok(Message::Binary(_))) => bad_request("messages are text, not binary"),
            // Answered by the WebSocket layer.
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => Flow::Continue(()),
            Some(Ok(Message::Close(_))) => Flow::Break(End::ClosedByPeer),
            Some(Err(error)) if is_too_big(&error) => Flow::Break(End::Close(Close::MessageTooBig)),
            Some(Err(_)) | None => Flow::Break(End::Gone),
        }
    }

    fn heard_text(&mut self, text: &str) -> Flow {
        if text.len() > self.shared.limits.sockets.max_message_bytes {
            return Flow::Break(End::Close(Close::MessageTooBig));
        }
        let message = match ClientMessage::parse(text) {
            Ok(message) => message,
            Err(reason) => return bad_request(reason),
        };
        match message {
            ClientMessage::ConnectionInit { payload } => self.init(payload),
            ClientMessage::Ping { payload } => self.say(&ServerMessage::Pong { payload }),
            ClientMessage::Pong => Flow::Continue(()),
            ClientMessage::Complete { id } => {
                self.operations.complete(&id);
                Flow::Continue(())
            }
            ClientMessage::Subscribe { id, request } => match &self.handshake {
                Handshake::Done(caller) => {
                    let caller = caller.clone();
                    self.subscribe(id, request, caller)
                }
                _ => Flow::Break(End::Close(Close::Unauthorized)),
            },
        }
    }

    fn init(&mut self, payload: Map<String, Value>) -> Flow {
        if !self.handshake.is_awaited() {
            return Flow::Break(End::Close(Close::TooManyInits));
        }
        let authenticator = self.shared.authenticator.clone();
        match Handshake::check(payload, self.authorization.take(), authenticator) {
            Ok(handshake) => self.handshake = handshake,
            Err(reason) => return bad_request(reason),
        }
        Flow::Continue(())
    }

    fn checked(&mut self, checked: Result<Option<Viewer>, AuthError>) -> Flow {
        let caller = match checked {
            Ok(caller) => caller,
            Err(AuthError::BadToken) => return Flow::Break(End::Close(Close::Forbidden)),
            Err(AuthError::Unavailable) => return Flow::Break(End::Close(Close::TryAgainLater)),
        };
        self.expires_at = caller
            .as_ref()
            .map(|viewer| Instant::now() + self.shared.authenticator.time_left(viewer).min(FAR_FUTURE));
        self.handshake = Handshake::Done(caller);
        self.say(&ServerMessage::ConnectionAck)
    }

    fn subscribe(&mut self, id: String, request: GraphqlRequest, caller: Option<Viewer>) -> Flow {
        let limits = &self.shared.limits.sockets;
        let ended = match self.operations.begin(&id, limits.max_operations) {
            Ok(ended) => ended,
            Err(NotBegun::IdInUse) => {
                return Flow::Break(End::Close(Close::SubscriberExists(id)));
            }
            Err(NotBegun::TooMany) => return self.refuse(&id, limits.max_operations),
        };
        let run = Run {
            id,
            engine: self.shared.engine.clone(),
            caller,
            outbox: self.outbox.clone(),
            operations: self.operations.clone(),
            ended,
            max_message_bytes: limits.max_outgoing_bytes,
        };
        self.tasks.spawn(run.run(request));
        Flow::Continue(())
    }

    fn refuse(&self, id: &str, limit: usize) -> Flow {
        let error = ErrorCode::RateLimited.error(format!("this socket has {limit} operations under way"));
        let result = GraphqlResult::request_error(error, Trace::root().id);
        self.say(&ServerMessage::Error { id, payload: &result.errors })
    }

    fn check_peer(&mut self, dead_after: Duration) -> Flow {
        if self.last_heard.elapsed() >= dead_after {
            return Flow::Break(End::Gone);
        }
        self.outbox.ping();
        Flow::Continue(())
    }

    fn say(&self, message: &ServerMessage<'_>) -> Flow {
        match self.outbox.control(message) {
            Ok(()) => Flow::Continue(()),
            Err(overrun) => Flow::Break(overrun.into()),
        }
    }

    /// Ends the operations, writes a close frame, and waits, bounded, for the peer's.
    pub(super) async fn close(mut self, close: Close) {
        self.tasks.abort_all();
        let within = self.shared.limits.sockets.close_timeout;
        self.outbox.close(&close, within).await;
        self.part().await;
    }

    /// Reads until the peer has nothing more to say, bounded. The WebSocket layer's own answers are
    /// written by reading.
    async fn part(mut self) {
        let within = self.shared.limits.sockets.close_timeout;
        let silence = async { while let Some(Ok(_)) = self.input.next().await {} };
        let _ = tokio::time::timeout(within, silence).await;
        self.writer.abort();
    }
}

fn bad_request(reason: &'static str) -> Flow {
    Flow::Break(End::Close(Close::BadRequest(reason.into())))
}

fn is_too_big(error: &axum::Error) -> bool {
    use tokio_tungstenite::tungstenite::Error;
    std::error::Error::source(error)
        .and_then(|source| source.downcast_ref())
        .is_some_and(|error| matches!(error, Error::Capacity(_)))
}

async fn reached(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => pending().await,
    }
}

fn stopping<E>(shared: &Shared<E>) -> impl Future<Output = ()> + use<E> {
    let closing = shared.lifecycle.closing.clone();
    async move {
        closing.cancelled().await;
        let pause = rand::rng().random_range(Duration::ZERO..CLOSE_SPREAD);
        tokio::time::sleep(pause).await;
    }
}
