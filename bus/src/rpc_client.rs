//! Asking a service and waiting for its answer, within a deadline.

use async_trait::async_trait;
use schema::pattern::Service;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::breaker::Breaker;
use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::envelope;
use crate::failure::{Failure, FailureCode};
use crate::heartbeat::Heartbeat;
use crate::message::{Message, header};
use crate::topology::REPLIES_MAX_LENGTH;
use crate::trace;
use crate::transport::{Deliveries, ExclusiveQueue, PublishError, SharedTransport, Target, Transport};

/// Requests of one process that may await their answer at any time; more are refused.
const MAX_IN_FLIGHT: usize = 4_096;
/// How long a request waits for a connection that is being made, if its deadline allows.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);
/// The first pause before an unsent or interrupted request is sent again; doubles up to the limit.
const RESEND_FIRST: Duration = Duration::from_millis(20);
const RESEND_LIMIT: Duration = Duration::from_millis(500);

/// Somebody to ask. Services and the gateway ask through this, so that a simulation can answer.
#[async_trait]
pub trait RpcClient: Send + Sync + 'static {
    /// Sends a request and waits for the answer, no longer than the deadline.
    ///
    /// Every request of the contract is idempotent: it may be sent again within the deadline when the
    /// connection breaks before its answer came.
    async fn call(
        &self,
        pattern: &str,
        data: Box<RawValue>,
        deadline: Deadline,
    ) -> Result<Box<RawValue>, RequestError>;
}

/// Asks with typed data and a typed answer.
pub async fn request<Q, R>(
    rpc: &dyn RpcClient,
    pattern: &str,
    data: &Q,
    deadline: Deadline,
) -> Result<R, RequestError>
where
    Q: Serialize + Sync + ?Sized,
    R: DeserializeOwned,
{
    let undecodable = |error: serde_json::Error| {
        RequestError::Answered(Failure::new(FailureCode::Undecodable, format!("{pattern}: {error}")))
    };
    let data = to_raw_value(data).map_err(undecodable)?;
    let response = rpc.call(pattern, data, deadline).await?;
    serde_json::from_str(response.get()).map_err(undecodable)
}

/// Why there is no answer. Each names the pattern, and so the service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Nothing was sent, or nobody was there to take it.
    #[error("{pattern}: not available: {reason}")]
    Unavailable {
        /// What was asked.
        pattern: String,
        /// Why it could not be.
        reason: String,
    },
    /// Refused before anything was done: too much is waiting.
    #[error("{pattern}: overloaded: {reason}")]
    Overloaded {
        /// What was asked.
        pattern: String,
        /// What is full.
        reason: String,
    },
    /// It was sent, and no answer came in time: it may or may not have been done.
    #[error("{pattern}: no answer in time")]
    DeadlineExceeded {
        /// What was asked.
        pattern: String,
    },
    /// The service answered with a fault.
    #[error("the service answered: {0}")]
    Answered(Failure),
}

impl RequestError {
    /// Whether it is certain that nothing was done.
    pub fn nothing_was_done(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Overloaded { .. } => true,
            Self::DeadlineExceeded { .. } => false,
            Self::Answered(failure) => matches!(
                failure.code,
                FailureCode::Undecodable
                    | FailureCode::BadRequest
                    | FailureCode::NoHandler
                    | FailureCode::DeadlineExceeded
                    | FailureCode::Overloaded
            ),
        }
    }

    /// Whether asking again later may succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Answered(failure) => failure.code.is_retryable(),
            _ => true,
        }
    }
}

/// Asks over a transport, with one reply queue per connection.
pub struct BusRpcClient {
    transport: SharedTransport,
    clock: Arc<dyn Clock>,
    pending: Pending,
    reply_queue: watch::Receiver<Option<String>>,
    breakers: HashMap<Service, Breaker>,
}

impl BusRpcClient {
    /// A client that listens for replies, over reconnects, until `stop`.
    pub fn start(transport: SharedTransport, clock: Arc<dyn Clock>, stop: CancellationToken) -> Arc<Self> {
        Self::start_watched(transport, clock, stop, Heartbeat::new())
    }

    /// As [`BusRpcClient::start`]; the heartbeat beats while replies are listened for.
    pub fn start_watched(
        transport: SharedTransport,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
        heartbeat: Heartbeat,
    ) -> Arc<Self> {
        let (listening, reply_queue) = watch::channel(None);
        let pending = Pending::default();
        let listener = listen(Arc::clone(&transport), pending.clone(), listening, heartbeat);
        tokio::spawn(async move {
            tokio::select! {
                () = listener => {}
                () = stop.cancelled() => {}
            }
        });
        let breakers =
            Service::ALL.into_iter().map(|service| (service, breaker(service, &*transport))).collect();
        Arc::new(Self { transport, clock, pending, reply_queue, breakers })
    }

    /// Whether the service answers, as far as the last requests showed.
    pub fn is_answering(&self, service: Service) -> bool {
        !self.breakers[&service].is_open()
    }

    /// The queue that this process hears replies on, once it does.
    pub(crate) async fn reply_queue(&self, deadline: Deadline) -> Option<String> {
        let mut reply_queue = self.reply_queue.clone();
        let ready = reply_queue.wait_for(Option::is_some);
        match tokio::time::timeout(deadline.remaining(), ready).await {
            Ok(Ok(name)) => name.clone(),
            _ => None,
        }
    }

    pub(crate) fn expect_reply(&self) -> Option<Expected> {
        self.pending.expect()
    }

    pub(crate) fn transport(&self) -> &SharedTransport {
        &self.transport
    }

    /// Sends the request once and waits for its answer.
    async fn ask_once(
        &self,
        pattern: &str,
        data: &RawValue,
        deadline: Deadline,
    ) -> Result<Attempt, RequestError> {
        let unavailable = |reason: String| RequestError::Unavailable { pattern: pattern.to_owned(), reason };
        let overloaded = |reason: String| RequestError::Overloaded { pattern: pattern.to_owned(), reason };
        let service = Service::from_pattern(pattern)
            .ok_or_else(|| unavailable("no service has this pattern".to_owned()))?;
        let Some(reply_to) = self.reply_queue(deadline.at_most(CONNECT_PATIENCE)).await else {
            return Err(unavailable("no connection to the broker".to_owned()));
        };
        let expected = self.expect_reply().ok_or_else(|| overloaded("requests in flight".to_owned()))?;
        let message = self.request_message(pattern, data, &expected, reply_to, deadline);
        let target = Target::Queue(self.transport.topology().requests(service));
        // The limit lies past the deadline, which is what ends the waiting; it only frees the confirmation.
        let limit = deadline.remaining() + Duration::from_millis(50);
        let publishing = self.transport.publish(vec![(target, message)], limit);
        let mut answer = std::pin::pin!(expected.answer());
        // The answer may overtake the confirmation.
        let confirmed = tokio::select! {
            biased;
            answer = &mut answer => return Ok(Attempt::of(answer)),
            confirmed = publishing => confirmed.into_iter().next().unwrap_or(Err(PublishError::Disconnected)),
            () = deadline.passed() => return Err(RequestError::DeadlineExceeded { pattern: pattern.to_owned() }),
        };
        match confirmed {
            Ok(()) => {}
            Err(PublishError::Disconnected) => return Ok(Attempt::Unsent),
            Err(PublishError::Unknown(_)) => return Ok(Attempt::Interrupted),
            Err(error @ (PublishError::Nacked | PublishError::WindowFull)) => {
                return Err(overloaded(error.to_string()));
            }
            Err(error) => return Err(unavailable(error.to_string())),
        }
        tokio::select! {
            biased;
            answer = answer => Ok(Attempt::of(answer)),
            () = deadline.passed() => Err(RequestError::DeadlineExceeded { pattern: pattern.to_owned() }),
        }
    }

    fn request_message(
        &self,
        pattern: &str,
        data: &RawValue,
        expected: &Expected,
        reply_to: String,
        deadline: Deadline,
    ) -> Message {
        let remaining = deadline.remaining();
        let mut message = Message {
            body: envelope::write(pattern, data, Some(expected.id())),
            correlation_id: Some(expected.id().to_owned()),
            reply_to: Some(reply_to),
            expiration: Some(remaining.max(Duration::from_millis(1))),
            ..Message::default()
        };
        message.set_header(header::DEADLINE, self.clock.now().plus(remaining).unix_ms().into());
        trace::inject(&mut message.headers);
        message
    }
}

#[async_trait]
impl RpcClient for BusRpcClient {
    async fn call(
        &self,
        pattern: &str,
        data: Box<RawValue>,
        deadline: Deadline,
    ) -> Result<Box<RawValue>, RequestError> {
        let unavailable = |reason: &str| RequestError::Unavailable {
            pattern: pattern.to_owned(),
            reason: reason.to_owned(),
        };
        let breaker = Service::from_pattern(pattern).and_then(|service| self.breakers.get(&service));
        if breaker.is_some_and(|breaker| !breaker.admits()) {
            return Err(unavailable("it has not answered lately"));
        }
        let unanswered = || RequestError::DeadlineExceeded { pattern: pattern.to_owned() };
        let (mut pause, mut may_have_been_done) = (RESEND_FIRST, false);
        let result = loop {
            match self.ask_once(pattern, &data, deadline).await {
                Ok(Attempt::Answered(reply)) => {
                    break envelope::read_reply(&reply.body).map_err(RequestError::Answered);
                }
                Ok(attempt) => may_have_been_done |= matches!(attempt, Attempt::Interrupted),
                Err(error) => break Err(error),
            }
            if deadline.remaining() <= pause {
                break Err(if may_have_been_done {
                    unanswered()
                } else {
                    unavailable("no connection to the broker")
                });
            }
            tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
            pause = (pause * 2).min(RESEND_LIMIT);
        };
        match (&result, breaker) {
            (Ok(_) | Err(RequestError::Answered(_)), Some(breaker)) => breaker.answered(),
            (Err(RequestError::DeadlineExceeded { .. }), Some(breaker)) => breaker.unanswered(),
            _ => {}
        }
        // That nothing was done holds for the last attempt alone.
        let result = match result {
            Err(RequestError::Unavailable { .. } | RequestError::Overloaded { .. }) if may_have_been_done => {
                Err(unanswered())
            }
            result => result,
        };
        metrics::counter!("waybill_requests_total", "pattern" => pattern.to_owned(), "outcome" => outcome(&result))
            .increment(1);
        result
    }
}

/// What became of one attempt to ask.
enum Attempt {
    Answered(Message),
    /// The connection broke before anything was sent.
    Unsent,
    /// The connection broke before the answer came: it may have been done.
    Interrupted,
}

impl Attempt {
    /// By what came over the reply queue; nothing once that is gone.
    fn of(answer: Option<Message>) -> Self {
        answer.map_or(Self::Interrupted, Self::Answered)
    }
}

fn breaker(service: Service, transport: &dyn Transport) -> Breaker {
    let process = transport.owner().split('.').next().unwrap_or_default().to_owned();
    Breaker::shown_by(
        metrics::gauge!("waybill_breaker_open", "service" => service.name(), "process" => process),
    )
}

fn outcome<T>(result: &Result<T, RequestError>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(RequestError::Unavailable { .. }) => "unavailable",
        Err(RequestError::Overloaded { .. }) => "overloaded",
        Err(RequestError::DeadlineExceeded { .. }) => "deadline_exceeded",
        Err(RequestError::Answered(_)) => "fault",
    }
}

/// The requests that await their answer, by correlation id.
#[derive(Clone, Default)]
struct Pending(Arc<Mutex<HashMap<String, oneshot::Sender<Message>>>>);

impl Pending {
    /// Nothing where too many wait already.
    fn expect(&self) -> Option<Expected> {
        let id = uuid::Uuid::now_v7().to_string();
        let (sender, receiver) = oneshot::channel();
        let mut pending = self.locked();
        if pending.len() >= MAX_IN_FLIGHT {
            return None;
        }
        pending.insert(id.clone(), sender);
        Some(Expected { id, receiver, pending: self.clone() })
    }

    /// Replies that nobody waits for any more are counted and dropped.
    fn deliver(&self, reply: Message) {
        let waiting = reply.correlation_id.as_deref().and_then(|id| self.locked().remove(id));
        let delivered = waiting.is_some_and(|sender| sender.send(reply).is_ok());
        if !delivered {
            metrics::counter!("waybill_late_replies_total").increment(1);
        }
    }

    fn lose_all(&self) {
        self.locked().clear();
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<String, oneshot::Sender<Message>>> {
        self.0.lock().expect("nothing panics while it holds this lock")
    }
}

/// One awaited answer; no longer awaited once dropped.
pub(crate) struct Expected {
    id: String,
    receiver: oneshot::Receiver<Message>,
    pending: Pending,
}

impl Expected {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The answer, or nothing when the connection that it would have come over is gone.
    pub(crate) async fn answer(mut self) -> Option<Message> {
        (&mut self.receiver).await.ok()
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.pending.locked().remove(&self.id);
    }
}

async fn listen(
    transport: SharedTransport,
    pending: Pending,
    listening: watch::Sender<Option<String>>,
    heartbeat: Heartbeat,
) {
    let queue =
        ExclusiveQueue { purpose: "replies", event_bindings: Vec::new(), max_length: REPLIES_MAX_LENGTH };
    loop {
        heartbeat.beat();
        match transport.consume_exclusive(queue.clone()).await {
            Ok((name, deliveries)) => {
                listening.send_replace(Some(name));
                hand_out(deliveries, &pending, &heartbeat).await;
                listening.send_replace(None);
                pending.lose_all();
            }
            Err(error) => {
                tracing::debug!(%error, "cannot listen for replies yet");
                tokio::time::sleep(error.pause()).await;
            }
        }
    }
}

async fn hand_out(mut deliveries: Deliveries, pending: &Pending, heartbeat: &Heartbeat) {
    while let Some(delivery) = heartbeat.while_waiting(deliveries.recv()).await {
        pending.deliver(delivery.message.clone());
        delivery.ack().await;
    }
}
