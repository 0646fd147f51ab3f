//! What was given up on: to be read, replayed or discarded by an operator.

use schema::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::message::{Headers, Message, header};
use crate::topology::WorkQueue;
use crate::transport::{Delivery, PublishError, SharedTransport, Target, TransportError};

/// Dead letters of one queue that are looked at in one go, at the most.
pub const PEEK_MAX: u32 = 10_000;
/// How long publishing a replayed message may take.
const REPLAY_LIMIT: Duration = Duration::from_secs(10);

/// A message that was given up on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// The message's own id, or a digest of its body where it has none.
    pub id: String,
    /// The queue whose work it was.
    pub queue: String,
    /// Its pattern, if it could be told.
    pub pattern: Option<String>,
    /// Why: a [`crate::failure::FailureCode`].
    pub code: String,
    /// Why, in words.
    pub message: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was given up on.
    pub failed_at: Option<Timestamp>,
    /// The trace it belongs to.
    pub trace_id: Option<String>,
    /// Everything that travels beside the body.
    pub headers: Headers,
    /// Its body, as text.
    pub body: String,
}

/// Which dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Selection {
    /// All of them.
    All,
    /// Those of these ids.
    Ids(Vec<String>),
    /// Those that failed with this code.
    Code(String),
}

impl Selection {
    fn takes(&self, letter: &DeadLetter) -> bool {
        match self {
            Self::All => true,
            Self::Ids(ids) => ids.contains(&letter.id),
            Self::Code(code) => *code == letter.code,
        }
    }
}

/// The dead letters of every queue that are selected. They stay where they are.
pub async fn list(
    transport: &SharedTransport,
    selection: &Selection,
) -> Result<Vec<DeadLetter>, TransportError> {
    let mut letters = Vec::new();
    for queue in WorkQueue::ALL {
        for (letter, delivery) in peek(transport, queue).await? {
            delivery.requeue().await;
            if selection.takes(&letter) {
                letters.push(letter);
            }
        }
    }
    Ok(letters)
}

/// What was replayed, or discarded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Handled {
    /// These were.
    pub letters: Vec<DeadLetter>,
    /// Why others that were selected too were not; those lie where they lay.
    pub stopped: Option<String>,
}

/// Sends the selected ones back to the queue they came from, under their own ids and as if never tried,
/// so that an effect that did happen happens no second time. Stops at the first that the broker doesn't take, and leaves
/// out what is too long ever to be worked on.
pub async fn replay(transport: &SharedTransport, selection: &Selection) -> Result<Handled, TransportError> {
    let mut replayed = Handled::default();
    for queue in WorkQueue::ALL {
        for (letter, delivery) in peek(transport, queue).await? {
            if !selection.takes(&letter) {
                delivery.requeue().await;
                continue;
            }
            let target = Target::Queue(transport.topology().work(queue));
            let message = revived(&delivery.message);
            match transport.publish(vec![(target, message)], REPLAY_LIMIT).await.into_iter().next() {
                Some(Ok(())) => {
                    delivery.ack().await;
                    replayed.letters.push(letter);
                }
                Some(Err(error)) => {
                    delivery.requeue().await;
                    replayed.stopped = Some(format!("{} was not replayed: {error}", letter.id));
                    if !matches!(error, PublishError::TooLarge(_)) {
                        return Ok(replayed);
                    }
                }
                None => delivery.requeue().await,
            }
        }
    }
    Ok(replayed)
}

/// Removes the selected ones for good. Answers what was removed.
pub async fn discard(transport: &SharedTransport, selection: &Selection) -> Result<Handled, TransportError> {
    let mut discarded = Handled::default();
    for queue in WorkQueue::ALL {
        for (letter, delivery) in peek(transport, queue).await? {
            if selection.takes(&letter) {
                delivery.ack().await;
                discarded.letters.push(letter);
            } else {
                delivery.requeue().await;
            }
        }
    }
    Ok(discarded)
}

async fn peek(
    transport: &SharedTransport,
    queue: WorkQueue,
) -> Result<Vec<(DeadLetter, Delivery)>, TransportError> {
    let name = transport.topology().dead(queue);
    let peeked = transport.peek(&name, PEEK_MAX).await?;
    let work_queue = transport.topology().work(queue);
    Ok(peeked.into_iter().map(|delivery| (describe(&work_queue, &delivery.message), delivery)).collect())
}

fn describe(queue: &str, message: &Message) -> DeadLetter {
    let header_text = |name| message.header_text(name).map(str::to_owned);
    let pattern = crate::envelope::Envelope::read(&message.body).ok().map(|envelope| envelope.pattern);
    // Without our headers it was the broker that gave up on it: expired, or delivered too often.
    let code = header_text(header::FAILURE_CODE).unwrap_or_else(|| "UNDELIVERABLE".to_owned());
    DeadLetter {
        id: message.message_id.clone().unwrap_or_else(|| digest(&message.body)),
        queue: queue.to_owned(),
        pattern: message.kind.clone().or(pattern),
        code,
        message: header_text(header::FAILURE_MESSAGE)
            .unwrap_or_else(|| "the broker gave up on delivering it".to_owned()),
        attempts: message.failed_attempts(),
        failed_at: header_text(header::FAILED_AT).and_then(|text| text.parse().ok()),
        trace_id: message.header_text(header::TRACEPARENT).and_then(trace_id),
        headers: message.headers.clone(),
        body: String::from_utf8_lossy(&message.body).into_owned(),
    }
}

fn trace_id(traceparent: &str) -> Option<String> {
    traceparent.split('-').nth(1).map(str::to_owned)
}

/// A stable id for a message that came without one, such as poison from elsewhere.
fn digest(body: &[u8]) -> String {
    let hash = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, body);
    format!("body-{hash}")
}

fn revived(message: &Message) -> Message {
    let mut message = message.clone();
    let ours = [
        header::ATTEMPT,
        header::FAILURE_CODE,
        header::FAILURE_MESSAGE,
        header::ORIGIN_QUEUE,
        header::FAILED_AT,
    ];
    message.headers.retain(|name, _| !ours.contains(&name.as_str()) && !name.starts_with("x-death"));
    message
}
