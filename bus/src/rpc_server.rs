//! Answering the requests to a service.

use async_trait::async_trait;
use futures::FutureExt as _;
use schema::pattern::Service;
use serde_json::value::RawValue;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::envelope::{self, Envelope};
use crate::failure::{Failure, FailureCode};
use crate::heartbeat::Heartbeat;
use crate::message::Message;
use crate::trace;
use crate::transport::{Deliveries, Delivery, SharedTransport, Target};

/// The longest that any request is worked on, whatever its sender allows.
const LONGEST_DEADLINE: Duration = Duration::from_secs(30);

/// A request, as its handler gets it.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is asked, with its data undecoded.
    pub envelope: Envelope,
    /// Until when the answer is of use.
    pub deadline: Deadline,
}

/// Answers requests. A plain function of a request: what it needs, it has.
#[async_trait]
pub trait RequestHandler: Send + Sync + 'static {
    /// The answer, or a failure whose code the asker is told.
    async fn handle(&self, request: Request) -> Result<Box<RawValue>, Failure>;
}

/// Serves one service's requests until stopped.
pub struct RpcServer {
    /// Where requests come from and replies go.
    pub transport: SharedTransport,
    /// Whose requests.
    pub service: Service,
    /// Who answers.
    pub handler: Arc<dyn RequestHandler>,
    /// Requests worked on at any time.
    pub prefetch: u16,
    /// For deadlines by the wall clock.
    pub clock: Arc<dyn Clock>,
    /// Beats while requests are awaited.
    pub heartbeat: Heartbeat,
}

impl RpcServer {
    /// Serves until `stop`; then hands back what was not begun, finishes what was, and returns.
    ///
    /// A request is acknowledged after its reply has been sent, so that a killed copy's requests go to
    /// another copy. Requests past their deadline are dropped, not answered.
    pub async fn run(self, stop: CancellationToken) {
        let this = Arc::new(self);
        let queue = this.transport.topology().requests(this.service);
        let tasks = TaskTracker::new();
        while !stop.is_cancelled() {
            this.heartbeat.beat();
            match this.transport.consume(&queue, this.prefetch).await {
                Ok(deliveries) => Arc::clone(&this).serve(deliveries, &tasks, &stop).await,
                Err(error) => {
                    tracing::debug!(%queue, %error, "cannot consume yet");
                    stop.run_until_cancelled(tokio::time::sleep(error.pause())).await;
                }
            }
        }
        tasks.close();
        tasks.wait().await;
    }

    async fn serve(
        self: Arc<Self>,
        mut deliveries: Deliveries,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) {
        while let Some(Some(delivery)) =
            stop.run_until_cancelled(self.heartbeat.while_waiting(deliveries.recv())).await
        {
            let this = Arc::clone(&self);
            tasks.spawn(async move { this.answer(delivery).await });
        }
    }

    async fn answer(&self, mut delivery: Delivery) {
        trace::begin_if_none(&mut delivery.message.headers);
        let reply = self.reply(&delivery.message).await;
        if let Some((target, message)) = reply
            && let Err(error) = self.transport.publish_unconfirmed(target, message).await
        {
            // Unacknowledged, it goes to another copy, or comes back here, while its deadline lasts.
            tracing::debug!(%error, "a reply could not be sent");
            return delivery.requeue().await;
        }
        delivery.ack().await;
    }

    async fn reply(&self, message: &Message) -> Option<(Target, Message)> {
        let Some(deadline) = Deadline::received(message, &*self.clock, LONGEST_DEADLINE) else {
            metrics::counter!("waybill_expired_requests_total").increment(1);
            return None;
        };
        let (pattern, result) = match Envelope::read(&message.body) {
            Ok(envelope) => {
                let span = trace::consumer_span("process", &envelope.pattern, message);
                let pattern = envelope.pattern.clone();
                (pattern, self.handle(Request { envelope, deadline }).instrument(span).await)
            }
            Err(failure) => (String::new(), Err(failure)),
        };
        if let Err(failure) = &result {
            tracing::warn!(pattern, code = failure.code.as_str(), %failure, "a request failed");
        }
        reply_message(message, &result)
    }

    async fn handle(&self, request: Request) -> Result<Box<RawValue>, Failure> {
        let deadline = request.deadline;
        let handling = AssertUnwindSafe(self.handler.handle(request)).catch_unwind();
        match tokio::time::timeout(deadline.remaining(), handling).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Failure::new(FailureCode::Internal, "the handler panicked")),
            // It may have taken effect: not the code that promises it was never begun.
            Err(_) => Err(Failure::new(FailureCode::Unavailable, "it took longer than its deadline")),
        }
    }
}

/// The reply to a request, or to a command that wants an answer; nothing where nobody waits for one.
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
    trace::answer(request, &mut message.headers);
    Some((Target::Queue(reply_to), message))
}

/// For handlers: answers with a value.
pub fn respond<T: serde::Serialize>(value: &T) -> Result<Box<RawValue>, Failure> {
    serde_json::value::to_raw_value(value)
        .map_err(|error| Failure::new(FailureCode::Internal, error.to_string()))
}

/// For handlers: nobody handles this pattern.
pub fn no_handler(pattern: &str) -> Failure {
    Failure::new(FailureCode::NoHandler, format!("nobody handles {pattern}"))
}
