//! One socket: its messages, operations and liveness.

use std::{net::IpAddr, ops::ControlFlow, sync::Arc, time::Duration};

use async_graphql::Executor;
use futures::StreamExt;
use futures::stream::SplitStream;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::io::SocketIo;
use super::operations::{OperationTask, Operations, StartError};
use super::protocol::{ClientMessage, CloseCode, ServerMessage, Subprotocol};
use super::send_queue::{SendQueue, send_queue};
use super::sign_in::SignIn;
use super::upgrade::Socket;
use crate::auth::CurrentViewer;
use crate::http::Shared;
use crate::query::{ErrorCode, GraphqlRequest, Trace, request_errors};

/// No socket lives as long; timers don't reach much further.
pub(super) const FAR_FUTURE: Duration = Duration::from_secs(365 * 24 * 3600);

/// Which side ends a session, if the connection doesn't.
pub(super) enum CloseReason {
    Gateway(CloseCode),
    /// The client waits for the gateway's close frame.
    Client,
    ConnectionLost,
}

pub(super) struct Session<E> {
    pub(super) shared: Arc<Shared<E>>,
    pub(super) subprotocol: Subprotocol,
    pub(super) input: SplitStream<WebSocketStream<SocketIo>>,
    pub(super) io: SocketIo,
    /// Whether the WebSocket layer has given up reading.
    pub(super) input_is_broken: bool,
    pub(super) send_queue: SendQueue,
    pub(super) writer: JoinHandle<()>,
    pub(super) sign_in: SignIn,
    /// What operations are counted by, beside the viewer.
    address: Option<IpAddr>,
    /// The upgrade's own `Authorization`, for clients whose `connection_init` has none.
    pub(super) authorization: Option<String>,
    operations: Operations,
    pub(super) tasks: JoinSet<Option<CloseCode>>,
    /// The queries and mutations under way, and operations of which it is not known yet what they are.
    pub(super) requests: TaskTracker,
    /// Ends the subscriptions.
    pub(super) closing: CancellationToken,
    /// When the viewer's token ends.
    pub(super) expires_at: Instant,
    last_received: Instant,
}

impl<E: Executor> Session<E> {
    pub(super) fn new(
        socket: Socket,
        shared: Arc<Shared<E>>,
        subprotocol: Subprotocol,
        address: Option<IpAddr>,
        authorization: Option<String>,
    ) -> Self {
        let (sink, input) = socket.messages.split();
        let (send_queue, writer) = send_queue(sink, subprotocol);
        Self {
            shared,
            subprotocol,
            input,
            io: socket.io,
            input_is_broken: false,
            send_queue,
            writer: tokio::spawn(writer.run()),
            sign_in: SignIn::Awaited,
            address,
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
            CloseReason::Client => self.answer_close().await,
            CloseReason::ConnectionLost => self.writer.abort(),
        }
    }

    async fn serve(&mut self) -> CloseReason {
        let limits = self.shared.limits.clone();
        let init_deadline = Instant::now() + limits.init_timeout;
        let mut pings = interval_at(Instant::now() + limits.ping_interval, limits.ping_interval);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shared = Arc::clone(&self.shared);
        let mut stopping = std::pin::pin!(shared.admission.stopping(&shared.lifecycle.closing));
        loop {
            let is_awaited = matches!(self.sign_in, SignIn::Awaited);
            // Clients of the older protocol send operations without waiting for `connection_ack`.
            let is_read =
                self.subprotocol != Subprotocol::GraphqlWs || !matches!(self.sign_in, SignIn::Checking(_));
            let flow = tokio::select! {
                message = self.input.next(), if is_read => self.on_message(message),
                checked = self.sign_in.checked() => self.on_checked(checked),
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

    fn on_message(&mut self, message: Option<Result<Message, Error>>) -> ControlFlow<CloseReason> {
        self.last_received = Instant::now();
        match message {
            Some(Ok(Message::Text(text))) => self.on_text(&text),
            Some(Ok(Message::Binary(_))) => {
                close_with(CloseCode::BadRequest("messages are text, not binary"))
            }
            // The WebSocket layer answers pings.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => ControlFlow::Continue(()),
            Some(Ok(Message::Close(_))) => ControlFlow::Break(CloseReason::Client),
            Some(Err(error)) => {
                self.input_is_broken = true;
                on_read_error(&error)
            }
            None => ControlFlow::Break(CloseReason::ConnectionLost),
        }
    }

    fn on_text(&mut self, text: &str) -> ControlFlow<CloseReason> {
        match ClientMessage::parse(text, self.subprotocol) {
            Ok(ClientMessage::ConnectionInit { payload }) => self.on_init(payload),
            Ok(ClientMessage::Ping { payload }) => self.on_ping(payload),
            Ok(ClientMessage::Pong) => ControlFlow::Continue(()),
            Ok(ClientMessage::Complete { id }) => {
                self.operations.complete(&id);
                ControlFlow::Continue(())
            }
            Ok(ClientMessage::Terminate) => close_with(CloseCode::Normal),
            Ok(ClientMessage::Subscribe { id, request }) => self.on_subscribe(id, *request),
            Err(reason) => close_with(CloseCode::BadRequest(reason)),
        }
    }

    fn on_subscribe(&mut self, id: String, request: GraphqlRequest) -> ControlFlow<CloseReason> {
        let SignIn::Done { viewer, .. } = &self.sign_in else {
            return close_with(CloseCode::Unauthorized);
        };
        let (limits, rate_limits) = (&self.shared.limits, &self.shared.rate_limits);
        let by = viewer.as_ref().map(CurrentViewer::get);
        let within_rate = rate_limits
            .check_address(self.address, 1)
            .and_then(|()| rate_limits.check_viewer(by.as_deref(), 1));
        if let Err(error) = within_rate {
            let errors = request_errors(vec![error.into()], &Trace::root());
            return self.send(ServerMessage::Error(&id, &errors));
        }
        let ended = match self.operations.start(&id, limits.max_operations) {
            Ok(ended) => ended,
            Err(StartError::IdInUse) => return close_with(CloseCode::SubscriberExists(id)),
            Err(StartError::TooMany) => {
                let message = format!("this socket has {} operations under way", limits.max_operations);
                let errors =
                    request_errors(vec![ErrorCode::RateLimited.error(message).into()], &Trace::root());
                return self.send(ServerMessage::Error(&id, &errors));
            }
        };
        let task = OperationTask {
            id,
            subprotocol: self.subprotocol,
            viewer: viewer.clone(),
            admission: self.shared.admission.clone(),
            executor: self.shared.executor.clone(),
            shared_operations: self.shared.shared_operations.clone(),
            send_queue: self.send_queue.clone(),
            operations: self.operations.clone(),
            ended,
            closing: self.closing.clone(),
            max_message_bytes: limits.max_outgoing_bytes,
        };
        self.tasks.spawn(task.run(request, self.requests.token()));
        ControlFlow::Continue(())
    }

    fn ping(&mut self, dead_after: Duration) -> ControlFlow<CloseReason> {
        if self.last_received.elapsed() >= dead_after {
            return ControlFlow::Break(CloseReason::ConnectionLost);
        }
        self.send_queue.ping();
        if self.subprotocol == Subprotocol::GraphqlWs && matches!(self.sign_in, SignIn::Done { .. }) {
            return self.send(ServerMessage::KeepAlive);
        }
        ControlFlow::Continue(())
    }

    /// Queues a message of the session itself; a client that doesn't read them is disconnected.
    pub(super) fn send(&self, message: ServerMessage<'_>) -> ControlFlow<CloseReason> {
        let sent = self.send_queue.control(message);
        sent.map_or(ControlFlow::Break(CloseReason::ConnectionLost), ControlFlow::Continue)
    }
}

pub(super) fn close_with(code: CloseCode) -> ControlFlow<CloseReason> {
    ControlFlow::Break(CloseReason::Gateway(code))
}

/// Says why the socket ends whose bytes can't be read on.
fn on_read_error(error: &Error) -> ControlFlow<CloseReason> {
    match error {
        Error::Capacity(_) => close_with(CloseCode::MessageTooBig),
        Error::Utf8(_) => close_with(CloseCode::InvalidText),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) | Error::Io(_) => {
            ControlFlow::Break(CloseReason::ConnectionLost)
        }
        Error::Protocol(_) => close_with(CloseCode::ProtocolError),
        _ => ControlFlow::Break(CloseReason::ConnectionLost),
    }
}
