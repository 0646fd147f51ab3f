//! Sending commands: a command that the broker has confirmed is accepted and never lost.

use futures::FutureExt;
use schema::time::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

use crate::backoff::Backoff;
use crate::clock::Deadline;
use crate::envelope;
use crate::failure::Failure;
use crate::message::Message;
use crate::rpc_client::BusRpcClient;
use crate::topology::WorkQueue;
use crate::trace;
use crate::transport::{PublishError, Target};

/// The pauses before an unconfirmed command is sent again under the same id.
const RESEND: Backoff = Backoff { first: Duration::from_millis(50), limit: Duration::from_secs(1) };

/// A command to send.
#[derive(Debug, Clone)]
pub struct Command<'a, T> {
    /// The pattern.
    pub pattern: &'a str,
    /// The data.
    pub data: &'a T,
    /// The command's identity, kept if it is sent again.
    pub message_id: Uuid,
    /// When the command was created.
    pub timestamp: Timestamp,
}

/// The result of a command that was accepted.
#[derive(Debug)]
pub enum Accepted {
    /// The reply: its effect is committed, or it was dead-lettered.
    Answered(Result<Box<RawValue>, Failure>),
    /// No reply came in time, or none was waited for. The command will be handled; see [`Commands::on_unawaited_reply`].
    Unanswered,
}

/// Takes the outcome of a command that nothing waits for any more; returns whether it knows the command.
pub type ReplyHandler = Box<dyn Fn(Uuid, Result<(), Failure>) -> bool + Send + Sync>;

/// Sends commands and waits for their replies.
#[derive(Clone)]
pub struct Commands {
    rpc_client: Arc<BusRpcClient>,
    queue: WorkQueue,
}

impl Commands {
    /// Commands to the service that consumes `queue`.
    pub fn new(rpc_client: Arc<BusRpcClient>, queue: WorkQueue) -> Self {
        Self { rpc_client, queue }
    }

    /// Sends the command until it is confirmed or `deadline` has passed, always under the same message id; then waits for
    /// the reply for up to `wait`, if given. An error that [is certain](PublishError::is_certain) means that the command
    /// was not accepted. A command that was sent again may be delivered twice; its handler recognises it by its message
    /// id.
    pub async fn send<T: Serialize + Sync>(
        &self,
        command: &Command<'_, T>,
        deadline: Deadline,
        wait: Option<Duration>,
    ) -> Result<Accepted, PublishError> {
        let waiting = Deadline::after(wait.unwrap_or_default());
        let (reply_queue, pending) = match wait {
            Some(_) => {
                let reply_queue = self.rpc_client.reply_queue(waiting).await;
                (reply_queue, self.rpc_client.pending.expect(command.message_id))
            }
            None => (self.rpc_client.current_reply_queue(), None),
        };
        let message = message(command, reply_queue);
        let answer = async {
            match pending {
                Some(pending) => pending.reply().await,
                None => std::future::pending().await,
            }
        };
        // Without its reply queue it ends early, and is polled again below.
        let mut answer = std::pin::pin!(answer.fuse());
        let answered = |reply: Message| Accepted::Answered(envelope::read_reply(&reply.body));
        tokio::select! {
            biased;
            // A reply may overtake the confirmation, and implies it; a lost reply queue implies nothing.
            Some(reply) = &mut answer => return Ok(answered(reply)),
            confirmed = self.publish_until_confirmed(message, deadline) => confirmed?,
        }
        tokio::select! {
            reply = answer => Ok(reply.map_or(Accepted::Unanswered, answered)),
            () = waiting.passed() => Ok(Accepted::Unanswered),
        }
    }

    /// Has replies that come when their command's `send` has returned, or never waited, passed to `handler`, by the
    /// command's message id: whether its effect is committed or it was dead-lettered. The handler returns whether it knows
    /// the command. Replies are lost with the connection. One handler for each process: the first one stays.
    pub fn on_unawaited_reply(&self, handler: ReplyHandler) {
        self.rpc_client.pending.on_unawaited(Box::new(move |reply| {
            let message_id = reply.correlation_id.as_deref().and_then(|id| id.parse().ok());
            message_id.is_some_and(|id| handler(id, envelope::read_reply(&reply.body).map(drop)))
        }));
    }

    /// Whether no command waits, neither to be delivered nor for its retry. `false` if the broker does not say.
    pub async fn is_idle(&self) -> bool {
        let topology = self.rpc_client.transport.topology();
        let retries = topology.retry_delays.0.iter().map(|&delay| topology.retry(self.queue, delay));
        for queue in std::iter::once(topology.work(self.queue)).chain(retries) {
            match self.rpc_client.transport.depth(&queue).await {
                Ok(depth) if depth.is_none_or(|depth| depth.ready == 0) => {}
                _ => return false,
            }
        }
        true
    }

    async fn publish_until_confirmed(
        &self,
        message: Message,
        deadline: Deadline,
    ) -> Result<(), PublishError> {
        let transport = &self.rpc_client.transport;
        let target = Target::Queue(transport.topology().work(self.queue));
        let mut maybe_published = None;
        let mut failures = 0;
        loop {
            let publishing = transport.publish_one(target.clone(), message.clone(), deadline.remaining());
            let Err(error) = publishing.await else { return Ok(()) };
            if !error.is_certain() {
                maybe_published = Some(error.clone());
            }
            // A broker that refuses now may confirm in time what it left open before.
            let worth_retrying = match error {
                PublishError::Disconnected | PublishError::Unknown(_) => true,
                PublishError::Blocked(_) => maybe_published.is_some(),
                _ => false,
            };
            failures += 1;
            let pause = RESEND.pause(failures);
            if !worth_retrying || deadline.remaining() <= pause {
                return Err(maybe_published.unwrap_or(error));
            }
            tokio::time::sleep(pause).await;
        }
    }
}

/// A command whose reply is correlated by its message id.
fn message<T: Serialize>(command: &Command<'_, T>, reply_to: Option<String>) -> Message {
    let message_id = command.message_id.to_string();
    let correlation_id = reply_to.is_some().then(|| message_id.clone());
    let mut message = Message {
        body: envelope::write(command.pattern, command.data, correlation_id.as_deref()),
        message_id: Some(message_id),
        correlation_id,
        reply_to,
        kind: Some(command.pattern.to_owned()),
        timestamp: Some(command.timestamp),
        persistent: true,
        ..Message::default()
    };
    trace::inject(&mut message.headers);
    message
}
