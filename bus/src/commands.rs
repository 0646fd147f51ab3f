//! Sending a command: confirmed means accepted, and from there on never lost.

use schema::time::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

use crate::deadline::Deadline;
use crate::envelope;
use crate::failure::Failure;
use crate::message::Message;
use crate::rpc_client::{BusRpcClient, Expected};
use crate::topology::WorkQueue;
use crate::trace;
use crate::transport::{PublishError, Target};

/// The pause before an unconfirmed command is sent again under the same id; doubles up to the limit.
const RESEND_FIRST: Duration = Duration::from_millis(50);
const RESEND_LIMIT: Duration = Duration::from_secs(1);

/// A command to be sent.
#[derive(Debug, Clone)]
pub struct Command<'a, T> {
    /// What is to be done.
    pub pattern: &'a str,
    /// With what.
    pub data: &'a T,
    /// Who this command is: kept when it is sent again.
    pub message_id: Uuid,
    /// When it was made.
    pub timestamp: Timestamp,
}

/// What became of a command that was accepted.
#[derive(Debug)]
pub enum Accepted {
    /// Its effect is committed, or it failed for good; this is the answer.
    Answered(Result<Box<RawValue>, Failure>),
    /// No answer came in time, or none was asked for. It will be done.
    Unanswered,
}

/// Sends commands and waits for answers to them.
#[derive(Clone)]
pub struct Commands {
    rpc_client: Arc<BusRpcClient>,
    queue: WorkQueue,
}

impl Commands {
    /// Commands to the service that works on `queue`.
    pub fn new(rpc_client: Arc<BusRpcClient>, queue: WorkQueue) -> Self {
        Self { rpc_client, queue }
    }

    /// Sends until confirmed or `deadline`, always under the same message id; then, with `wait`, awaits
    /// the answer for so long.
    ///
    /// An error that [is certain](PublishError::is_certain) means that nothing was accepted. A command
    /// that had to be sent again may be delivered twice; its handler knows it by its message id.
    pub async fn send<T: Serialize + Sync>(
        &self,
        command: &Command<'_, T>,
        deadline: Deadline,
        wait: Option<Duration>,
    ) -> Result<Accepted, PublishError> {
        let waiting = Deadline::after(wait.unwrap_or_default());
        let reply = match wait {
            Some(_) => self.rpc_client.reply_queue(waiting).await.zip(self.rpc_client.expect_reply()),
            None => None,
        };
        let message = self.message(command, reply.as_ref());
        let answer = async {
            match reply {
                Some((_, expected)) => expected.answer().await,
                None => std::future::pending().await,
            }
        };
        let mut answer = std::pin::pin!(answer);
        let answered = |reply: Option<Message>| match reply {
            Some(reply) => Accepted::Answered(envelope::read_reply(&reply.body)),
            None => Accepted::Unanswered,
        };
        tokio::select! {
            biased;
            // An answer says more than the confirmation that it overtook; a lost reply queue says nothing.
            Some(reply) = &mut answer => return Ok(answered(Some(reply))),
            confirmed = self.publish_until_confirmed(message, deadline) => confirmed?,
        }
        tokio::select! {
            reply = answer => Ok(answered(reply)),
            () = waiting.passed() => Ok(Accepted::Unanswered),
        }
    }

    async fn publish_until_confirmed(
        &self,
        message: Message,
        deadline: Deadline,
    ) -> Result<(), PublishError> {
        let transport = self.rpc_client.transport();
        let target = Target::Queue(transport.topology().work(self.queue));
        let mut maybe_published = None;
        let mut pause = RESEND_FIRST;
        loop {
            let messages = vec![(target.clone(), message.clone())];
            let confirmed = transport.publish(messages, deadline.remaining()).await;
            let error = match confirmed.into_iter().next() {
                Some(Ok(())) => return Ok(()),
                Some(Err(error)) => error,
                None => PublishError::Disconnected,
            };
            let worth_retrying = matches!(error, PublishError::Disconnected | PublishError::Unknown(_));
            if !error.is_certain() {
                maybe_published = Some(error.clone());
            }
            if !worth_retrying || deadline.remaining() <= pause {
                return Err(maybe_published.unwrap_or(error));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RESEND_LIMIT);
        }
    }

    fn message<T: Serialize>(&self, command: &Command<'_, T>, reply: Option<&(String, Expected)>) -> Message {
        let correlation_id = reply.map(|(_, expected)| expected.id().to_owned());
        let mut message = Message {
            body: envelope::write(command.pattern, command.data, correlation_id.as_deref()),
            message_id: Some(command.message_id.to_string()),
            correlation_id,
            reply_to: reply.map(|(reply_queue, _)| reply_queue.clone()),
            kind: Some(command.pattern.to_owned()),
            timestamp: Some(command.timestamp),
            persistent: true,
            ..Message::default()
        };
        trace::inject(&mut message.headers);
        message
    }
}
