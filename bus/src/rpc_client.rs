//! The client side of requests: sends a request to a service and waits for the reply, within a deadline.

use async_trait::async_trait;
use schema::pattern::{Service, is_read};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::backoff::Backoff;
use crate::breaker::Breaker;
use crate::clock::{Clock, Deadline};
use crate::consumer_watch::ConsumerWatch;
use crate::envelope;
use crate::failure::{Failure, FailureCode};
use crate::heartbeat::Heartbeat;
use crate::message::{Message, header};
use crate::pending_replies::{PendingReplies, PendingReply};
use crate::topology::REPLIES_MAX_LENGTH;
use crate::trace;
use crate::transport::{ExclusiveQueue, PublishError, SharedTransport, Target};

/// An unanswered request with a nearer deadline says nothing about the service: under load, its turn may not have come.
const BREAKER_PATIENCE: Duration = Duration::from_secs(1);
/// How long a request waits for a connection, if its deadline allows.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// The pauses before an unsent or interrupted request is sent again.
const RESEND: Backoff = Backoff { first: Duration::from_millis(20), limit: Duration::from_millis(500) };

/// Sends requests. Services and the gateway use this trait, so that a simulation can answer their requests.
#[async_trait]
pub trait RpcClient: Send + Sync + 'static {
    /// Sends a request and waits for the response, no longer than the deadline. Every request of the contract is
    /// idempotent: it may be sent again within the deadline if the connection is lost before the reply came.
    async fn call(
        &self,
        pattern: &str,
        data: Box<RawValue>,
        deadline: Deadline,
    ) -> Result<Box<RawValue>, RequestError>;

    /// Sends a request whose data is a list of these items, as [`RpcClient::call`] does, and returns the answers: a service
    /// gives one for each item, in the same order, which is for the caller to check.
    async fn call_list(
        &self,
        pattern: &str,
        items: &[&RawValue],
        deadline: Deadline,
    ) -> Result<Vec<Box<RawValue>>, RequestError> {
        let data = to_raw_value(items).map_err(|error| undecodable(pattern, &error))?;
        let response = self.call(pattern, data, deadline).await?;
        serde_json::from_str(response.get()).map_err(|error| undecodable(pattern, &error))
    }
}

/// Sends a request with typed data and decodes its response.
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
    let data = to_raw_value(data).map_err(|error| undecodable(pattern, &error))?;
    let response = rpc.call(pattern, data, deadline).await?;
    serde_json::from_str(response.get()).map_err(|error| undecodable(pattern, &error))
}

fn undecodable(pattern: &str, error: &serde_json::Error) -> RequestError {
    RequestError::Answered(Failure::new(FailureCode::Undecodable, format!("{pattern}: {error}")))
}

/// Why a request has no response. Each error names the pattern, and so the service.
#[derive(Debug, Clone, PartialEq, Eq, strum::IntoStaticStr, thiserror::Error)]
#[strum(serialize_all = "snake_case")]
pub enum RequestError {
    /// The request was not sent, or no queue took it.
    #[error("{pattern}: not available: {reason}")]
    Unavailable {
        /// The request's pattern.
        pattern: String,
        /// Why the request was not sent.
        reason: String,
    },
    /// Refused before it was sent or queued: too many requests wait.
    #[error("{pattern}: overloaded: {reason}")]
    Overloaded {
        /// The request's pattern.
        pattern: String,
        /// What is full.
        reason: String,
    },
    /// No reply came in time. The service may or may not have handled the request.
    #[error("{pattern}: no answer in time")]
    DeadlineExceeded {
        /// The request's pattern.
        pattern: String,
    },
    /// The service replied with a failure.
    #[error("the service answered: {0}")]
    #[strum(serialize = "fault")]
    Answered(Failure),
}

impl RequestError {
    /// Whether it is certain that the service did not handle the request.
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

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Answered(failure) => failure.code.is_retryable(),
            _ => true,
        }
    }
}

/// A client over a transport, with one reply queue per connection.
pub struct BusRpcClient {
    pub(crate) transport: SharedTransport,
    clock: Arc<dyn Clock>,
    pub(crate) pending: PendingReplies,
    reply_queue: watch::Receiver<Option<String>>,
    services: HashMap<Service, ServiceState>,
}

/// What the client knows of one service.
struct ServiceState {
    breaker: Breaker,
    consumers: ConsumerWatch,
}

impl BusRpcClient {
    /// Starts a client that consumes replies, across reconnects, until `stop`; meanwhile `heartbeat` beats.
    pub fn start(
        transport: SharedTransport,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
        heartbeat: Heartbeat,
    ) -> Arc<Self> {
        let (queue_name, reply_queue) = watch::channel(None);
        let pending = PendingReplies::default();
        let consuming = consume_replies(Arc::clone(&transport), pending.clone(), queue_name, heartbeat);
        tokio::spawn(stop.run_until_cancelled_owned(consuming));
        let process = transport.owner().split('.').next().unwrap_or_default().to_owned();
        let services = Service::ALL.into_iter().map(|service| {
            let (service_name, process) = (service.name(), process.clone());
            let open =
                metrics::gauge!("waybill_breaker_open", "service" => service_name, "process" => process);
            (service, ServiceState { breaker: Breaker::new(open), consumers: ConsumerWatch::default() })
        });
        let services = services.collect();
        Arc::new(Self { transport, clock, pending, reply_queue, services })
    }

    /// Waits for the name of the reply queue, which exists while the process is connected.
    pub(crate) async fn reply_queue(&self, deadline: Deadline) -> Option<String> {
        let mut reply_queue = self.reply_queue.clone();
        let ready = reply_queue.wait_for(Option::is_some);
        tokio::time::timeout(deadline.remaining(), ready).await.ok()?.ok()?.clone()
    }

    /// The name of the reply queue, if there is one at this moment.
    pub(crate) fn current_reply_queue(&self) -> Option<String> {
        self.reply_queue.borrow().clone()
    }

    /// Sends the request once, unless no process consumes the service's requests, and waits for its reply.
    async fn attempt<T: Serialize + Sync + ?Sized>(
        &self,
        pattern: &str,
        data: &T,
        deadline: Deadline,
    ) -> Result<Attempt, RequestError> {
        let unavailable = |reason: String| RequestError::Unavailable { pattern: pattern.to_owned(), reason };
        let overloaded = |reason: String| RequestError::Overloaded { pattern: pattern.to_owned(), reason };
        let service = Service::from_pattern(pattern)
            .ok_or_else(|| unavailable("no service has this pattern".to_owned()))?;
        let reply_to = self.reply_queue(deadline.at_most(CONNECT_LIMIT)).await;
        let reply_to = reply_to.ok_or_else(|| unavailable("no connection to the broker".to_owned()))?;
        let queue = self.transport.topology().requests(service);
        let consumers = &self.services[&service].consumers;
        let no_consumer = || unavailable("no process of the service consumes its requests".to_owned());
        tokio::select! {
            is_absent = consumers.is_absent(&*self.transport, &queue) => {
                if is_absent {
                    return Err(no_consumer());
                }
            }
            () = deadline.passed() => {}
        }
        let pending = self.pending.expect(Uuid::now_v7());
        let pending = pending.ok_or_else(|| overloaded("requests in flight".to_owned()))?;
        let message = self.request_message(pattern, data, &pending, reply_to, deadline);
        let target = Target::Queue(queue.clone());
        // The deadline ends the wait below; this later limit only ends the wait for the confirmation.
        let limit = deadline.remaining() + Duration::from_millis(50);
        let publishing = self.transport.publish_one(target, message, limit);
        let mut reply = std::pin::pin!(pending.reply());
        // The reply may overtake the confirmation.
        let confirmed = tokio::select! {
            biased;
            reply = &mut reply => return Ok(Attempt::from_reply(reply)),
            confirmed = publishing => confirmed,
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
        // What was sent to a service that has no process any more waits for the next one until its deadline. A read
        // that is given up does no harm then; of a change the outcome would be unknown.
        let given_up = async {
            if !is_read(pattern) {
                std::future::pending::<()>().await;
            }
            consumers.absent(&*self.transport, &queue).await;
        };
        tokio::select! {
            biased;
            reply = reply => Ok(Attempt::from_reply(reply)),
            () = given_up => Err(no_consumer()),
            () = deadline.passed() => Err(RequestError::DeadlineExceeded { pattern: pattern.to_owned() }),
        }
    }

    fn request_message<T: Serialize + ?Sized>(
        &self,
        pattern: &str,
        data: &T,
        pending: &PendingReply,
        reply_to: String,
        deadline: Deadline,
    ) -> Message {
        let remaining = deadline.remaining();
        let mut message = Message {
            body: envelope::write(pattern, data, Some(&pending.id)),
            correlation_id: Some(pending.id.clone()),
            reply_to: Some(reply_to),
            expiration: Some(remaining.max(Duration::from_millis(1))),
            ..Message::default()
        };
        message.set_header(header::DEADLINE, self.clock.now().plus(remaining).unix_ms().into());
        trace::inject(&mut message.headers);
        message
    }

    /// Sends the request until there is a reply, within the deadline, and decodes the reply.
    async fn exchange<T: Serialize + Sync + ?Sized, R>(
        &self,
        pattern: &str,
        data: &T,
        deadline: Deadline,
        read: impl Fn(&[u8]) -> Result<R, Failure>,
    ) -> Result<R, RequestError> {
        let unavailable = |reason: &str| RequestError::Unavailable {
            pattern: pattern.to_owned(),
            reason: reason.to_owned(),
        };
        let service = Service::from_pattern(pattern).and_then(|service| self.services.get(&service));
        if service.is_some_and(|service| !service.breaker.admits(Instant::now())) {
            return Err(unavailable("the service has not answered its last requests"));
        }
        let unanswered = || RequestError::DeadlineExceeded { pattern: pattern.to_owned() };
        let was_patient = deadline.remaining() >= BREAKER_PATIENCE;
        let (mut failures, mut may_be_handled) = (0, false);
        let result = loop {
            match self.attempt(pattern, data, deadline).await {
                Ok(Attempt::Answered(reply)) => {
                    break read(&reply.body).map_err(RequestError::Answered);
                }
                Ok(attempt) => may_be_handled |= matches!(attempt, Attempt::Interrupted),
                Err(error) => break Err(error),
            }
            failures += 1;
            let pause = RESEND.pause(failures);
            if deadline.remaining() <= pause {
                let unavailable = || unavailable("no connection to the broker");
                break Err(if may_be_handled { unanswered() } else { unavailable() });
            }
            tokio::time::sleep(pause).await;
        };
        match (&result, service) {
            (Ok(_) | Err(RequestError::Answered(_)), Some(service)) => {
                service.breaker.answered();
                service.consumers.replied();
            }
            // A service without a process is not waited for, and is there at once when it is back: nothing to probe.
            (Err(RequestError::DeadlineExceeded { .. }), Some(service))
                if was_patient && !service.consumers.was_absent() =>
            {
                service.breaker.unanswered(Instant::now());
            }
            _ => {}
        }
        // An error that excludes an effect holds for the last attempt alone.
        let result = result.map_err(|error| match error {
            RequestError::Unavailable { .. } | RequestError::Overloaded { .. } if may_be_handled => {
                unanswered()
            }
            error => error,
        });
        let outcome: &str = result.as_ref().map_or_else(Into::into, |_| "ok");
        metrics::counter!("waybill_requests_total", "pattern" => pattern.to_owned(), "outcome" => outcome)
            .increment(1);
        result
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
        self.exchange(pattern, &*data, deadline, envelope::read_reply).await
    }

    async fn call_list(
        &self,
        pattern: &str,
        items: &[&RawValue],
        deadline: Deadline,
    ) -> Result<Vec<Box<RawValue>>, RequestError> {
        self.exchange(pattern, items, deadline, envelope::read_list_reply).await
    }
}

/// The result of sending a request once.
enum Attempt {
    Answered(Message),
    /// The connection was lost before the request was sent.
    Unsent,
    /// The connection was lost before the reply came. The service may have handled the request.
    Interrupted,
}

impl Attempt {
    fn from_reply(reply: Option<Message>) -> Self {
        reply.map_or(Self::Interrupted, Self::Answered)
    }
}

async fn consume_replies(
    transport: SharedTransport,
    pending: PendingReplies,
    queue_name: watch::Sender<Option<String>>,
    heartbeat: Heartbeat,
) {
    let queue =
        ExclusiveQueue { purpose: "replies", event_bindings: Vec::new(), max_length: REPLIES_MAX_LENGTH };
    loop {
        heartbeat.beat();
        match transport.consume_exclusive(queue.clone()).await {
            Ok((name, mut deliveries)) => {
                queue_name.send_replace(Some(name));
                while let Some(mut delivery) = heartbeat.while_waiting(deliveries.recv()).await {
                    pending.deliver(std::mem::take(&mut delivery.message));
                    delivery.ack().await;
                }
                queue_name.send_replace(None);
                pending.clear();
            }
            Err(error) => {
                tracing::debug!(%error, "replies can't be consumed yet");
                tokio::time::sleep(error.pause()).await;
            }
        }
    }
}
