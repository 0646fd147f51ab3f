//! The server side of requests: consumes a service's requests and replies to them.

use async_trait::async_trait;
use futures::FutureExt as _;
use schema::clock::ClockReport;
use schema::pattern::{Service, clock_of};
use serde_json::value::RawValue;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::clock::{Clock, Deadline};
use crate::clock_difference::ClockDifferences;
use crate::envelope::{self, Envelope};
use crate::failure::{Failure, FailureCode};
use crate::heartbeat::Heartbeat;
use crate::message::{ANSWER_MAX_BYTES, Message};
use crate::trace;
use crate::transport::{Delivery, SharedTransport, Target};

/// The longest that a request is handled, even if its deadline is later.
const LONGEST_DEADLINE: Duration = Duration::from_secs(30);

/// A request, as its handler gets it.
#[derive(Debug, Clone)]
pub struct Request {
    /// The pattern and the data, undecoded.
    pub envelope: Envelope,
    /// Until when the client waits.
    pub deadline: Deadline,
}

/// Handles requests.
#[async_trait]
pub trait RequestHandler: Send + Sync + 'static {
    /// Returns the response, or a failure that is sent to the client.
    async fn handle(&self, request: Request) -> Result<Box<RawValue>, Failure>;
}

/// Serves one service's requests until stopped.
pub struct RpcServer {
    /// The transport of requests and replies.
    pub transport: SharedTransport,
    /// The service whose requests are consumed.
    pub service: Service,
    /// The handler.
    pub handler: Arc<dyn RequestHandler>,
    /// Requests handled at the same time.
    pub prefetch: u16,
    /// The clock for wall-clock deadlines.
    pub clock: Arc<dyn Clock>,
    /// Beats while the server waits for requests.
    pub heartbeat: Heartbeat,
}

impl RpcServer {
    /// Serves until `stop`; then requeues requests that were not begun, completes the others, and returns. A request is
    /// acknowledged after its reply was sent, so that a killed process's requests go to another one. A request past its
    /// deadline is not handled; the reply says by how much it came too late.
    pub async fn run(self, stop: CancellationToken) {
        let queue = self.transport.topology().requests(self.service);
        let this = Arc::new(Serving { server: self, clocks: ClockDifferences::default() });
        let tasks = TaskTracker::new();
        while !stop.is_cancelled() {
            this.server.heartbeat.beat();
            match this.server.transport.consume(&queue, this.server.prefetch).await {
                Ok(mut deliveries) => {
                    while let Some(Some(delivery)) =
                        stop.run_until_cancelled(this.server.heartbeat.while_waiting(deliveries.recv())).await
                    {
                        let this = Arc::clone(&this);
                        tasks.spawn(async move { this.answer(delivery).await });
                    }
                }
                Err(error) => {
                    tracing::debug!(%queue, %error, "requests can't be consumed yet");
                    stop.run_until_cancelled(tokio::time::sleep(error.pause())).await;
                }
            }
        }
        tasks.close();
        tasks.wait().await;
    }
}

/// A running server, and what it knows of its clients' clocks.
struct Serving {
    server: RpcServer,
    clocks: ClockDifferences,
}

impl Serving {
    async fn answer(&self, mut delivery: Delivery) {
        trace::begin_if_none(&mut delivery.message.headers);
        if let Some((target, message)) = self.reply(&delivery.message).await
            && let Err(error) = self.server.transport.publish_unconfirmed(target, message).await
        {
            // The requeued request goes to this process or another one, until its deadline.
            tracing::debug!(%error, "a reply could not be sent");
            return delivery.requeue().await;
        }
        delivery.ack().await;
    }

    async fn reply(&self, message: &Message) -> Option<(Target, Message)> {
        let deadline = match self.clocks.received(message, self.server.clock.now(), LONGEST_DEADLINE) {
            Ok(deadline) => deadline,
            Err(late) => {
                metrics::counter!("waybill_expired_requests_total").increment(1);
                tracing::warn!(%late, "a request was not handled");
                return reply_message(message, &Err(late));
            }
        };
        let (pattern, result) = match Envelope::read(&message.body) {
            Ok(envelope) => {
                let span = trace::consumer_span("process", &envelope.pattern, message);
                let pattern = envelope.pattern.clone();
                (
                    pattern,
                    self.handle(Request { envelope, deadline }).instrument(span).await.and_then(bounded),
                )
            }
            Err(failure) => (String::new(), Err(failure)),
        };
        if let Err(failure) = &result {
            tracing::warn!(pattern, code = failure.code.as_str(), %failure, "a request failed");
        }
        reply_message(message, &result)
    }

    async fn handle(&self, request: Request) -> Result<Box<RawValue>, Failure> {
        if request.envelope.pattern == clock_of(self.server.service) {
            return respond(&ClockReport { now: self.server.clock.now(), senders: self.clocks.report() });
        }
        let deadline = request.deadline;
        let handling = AssertUnwindSafe(self.server.handler.handle(request)).catch_unwind();
        match tokio::time::timeout(deadline.remaining(), handling).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Failure::new(FailureCode::Internal, "the handler panicked")),
            // Not `DeadlineExceeded`, which says that handling was never begun: it may have taken effect.
            Err(_) => {
                Err(Failure::new(FailureCode::Unavailable, "the handler took longer than the deadline"))
            }
        }
    }
}

/// Refuses a response that no message can hold: the broker would take it, and its client would not.
fn bounded(response: Box<RawValue>) -> Result<Box<RawValue>, Failure> {
    let bytes = response.get().len();
    if bytes <= ANSWER_MAX_BYTES {
        return Ok(response);
    }
    let message =
        format!("the answer has {bytes} bytes, at most {ANSWER_MAX_BYTES} fit; ask for less at once");
    Err(Failure::new(FailureCode::AnswerTooLong, message))
}

/// Returns the reply to a request or command; nothing if its sender awaits none.
pub(crate) fn reply_message(
    request: &Message,
    result: &Result<Box<RawValue>, Failure>,
) -> Option<(Target, Message)> {
    let reply_to = request.reply_to.clone()?;
    let id = request.correlation_id.as_deref().unwrap_or_default();
    let body = match result {
        Ok(response) => envelope::write_response(response),
        Err(failure) if failure.code == FailureCode::NoHandler => envelope::write_no_handler(id),
        Err(failure) => envelope::write_error(failure),
    };
    let mut message = Message { body, correlation_id: request.correlation_id.clone(), ..Message::default() };
    trace::copy_to_reply(request, &mut message.headers);
    Some((Target::Queue(reply_to), message))
}

/// For handlers: returns a value as the response.
pub fn respond<T: serde::Serialize>(value: &T) -> Result<Box<RawValue>, Failure> {
    serde_json::value::to_raw_value(value)
        .map_err(|error| Failure::new(FailureCode::Internal, error.to_string()))
}

/// For handlers: the failure for a pattern without a handler.
pub fn no_handler(pattern: &str) -> Failure {
    Failure::new(FailureCode::NoHandler, format!("no handler for {pattern}"))
}
