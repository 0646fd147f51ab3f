//! Dead letters: listed, replayed or discarded by an operator.

use schema::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use uuid::Uuid;

use crate::envelope::Envelope;
use crate::message::{Headers, Message, header};
use crate::topology::WorkQueue;
use crate::transport::{Delivery, PublishError, SharedTransport, Target, TransportError};

/// The most dead letters of one queue that one call reads.
pub const PEEK_MAX: u32 = 10_000;
/// How long publishing a replayed message may take.
const REPLAY_LIMIT: Duration = Duration::from_secs(10);

/// A message that was dead-lettered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// The message's id, or a digest of its body if it has none.
    pub id: String,
    /// The work queue that it came from.
    pub queue: String,
    /// Its pattern, if it could be read.
    pub pattern: Option<String>,
    /// Why it was dead-lettered: a [`crate::failure::FailureCode`].
    pub code: String,
    /// Why it was dead-lettered: a text.
    pub message: String,
    /// How often handling it was attempted.
    pub attempts: u32,
    /// When it was dead-lettered.
    pub failed_at: Option<Timestamp>,
    /// The trace it belongs to.
    pub trace_id: Option<String>,
    /// Its headers.
    pub headers: Headers,
    /// Its body, as text.
    pub body: String,
}

/// Selects dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Selection {
    /// All dead letters.
    All,
    /// The dead letters with these ids.
    Ids(Vec<String>),
    /// The dead letters with this failure code.
    Code(String),
}

impl Selection {
    fn matches(&self, letter: &DeadLetter) -> bool {
        match self {
            Self::All => true,
            Self::Ids(ids) => ids.contains(&letter.id),
            Self::Code(code) => *code == letter.code,
        }
    }
}

/// Returns the selected dead letters of every queue. They stay in their queues.
pub async fn list(
    transport: &SharedTransport,
    selection: &Selection,
) -> Result<Vec<DeadLetter>, TransportError> {
    let mut letters = Vec::new();
    for queue in WorkQueue::ALL {
        for (letter, delivery) in peek(transport, queue, selection).await? {
            delivery.requeue().await;
            letters.push(letter);
        }
    }
    Ok(letters)
}

/// The result of replaying or discarding.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Handled {
    /// The letters that were replayed or discarded.
    pub letters: Vec<DeadLetter>,
    /// Why other selected letters were not; remaining letters stay in the queue.
    pub stopped: Option<String>,
}

/// Publishes the selected letters to the queue they came from, under their own ids, so that an effect that has happened
/// does not happen again, and without counted attempts. Stops at the first letter that the broker refuses, and skips letters
/// that are too long to be handled.
pub async fn replay(transport: &SharedTransport, selection: &Selection) -> Result<Handled, TransportError> {
    let mut replayed = Handled::default();
    for queue in WorkQueue::ALL {
        for (letter, delivery) in peek(transport, queue, selection).await? {
            let target = Target::Queue(transport.topology().work(queue));
            let message = reset_for_replay(&delivery.message);
            match transport.publish_one(target, message, REPLAY_LIMIT).await {
                Ok(()) => {
                    delivery.ack().await;
                    replayed.letters.push(letter);
                }
                Err(error) => {
                    delivery.requeue().await;
                    replayed.stopped = Some(format!("{} was not replayed: {error}", letter.id));
                    if !matches!(error, PublishError::TooLarge(_)) {
                        return Ok(replayed);
                    }
                }
            }
        }
    }
    Ok(replayed)
}

/// Removes the selected letters for good.
pub async fn discard(transport: &SharedTransport, selection: &Selection) -> Result<Handled, TransportError> {
    let mut discarded = Handled::default();
    for queue in WorkQueue::ALL {
        for (letter, delivery) in peek(transport, queue, selection).await? {
            delivery.ack().await;
            discarded.letters.push(letter);
        }
    }
    Ok(discarded)
}

/// Returns the selected dead letters of one queue, and requeues the others.
async fn peek(
    transport: &SharedTransport,
    queue: WorkQueue,
    selection: &Selection,
) -> Result<Vec<(DeadLetter, Delivery)>, TransportError> {
    let work_queue = transport.topology().work(queue);
    let mut selected = Vec::new();
    for delivery in transport.peek(&transport.topology().dead(queue), PEEK_MAX).await? {
        let letter = describe(&work_queue, &delivery.message);
        if selection.matches(&letter) {
            selected.push((letter, delivery));
        } else {
            delivery.requeue().await;
        }
    }
    Ok(selected)
}

fn describe(queue: &str, message: &Message) -> DeadLetter {
    let header_text = |name| message.header_text(name).map(str::to_owned);
    let pattern = Envelope::read(&message.body).ok().map(|envelope| envelope.pattern);
    // A message without our headers was dead-lettered by the broker: expired, or delivered too often.
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
        trace_id: message
            .header_text(header::TRACEPARENT)
            .and_then(|traceparent| traceparent.split('-').nth(1).map(str::to_owned)),
        headers: message.headers.clone(),
        body: String::from_utf8_lossy(&message.body).into_owned(),
    }
}

/// A stable id for a message without one, such as a malformed message of another client.
fn digest(body: &[u8]) -> String {
    format!("body-{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, body))
}

fn reset_for_replay(message: &Message) -> Message {
    let mut message = message.clone();
    let dead_letter_headers = [
        header::ATTEMPT,
        header::FAILURE_CODE,
        header::FAILURE_MESSAGE,
        header::ORIGIN_QUEUE,
        header::FAILED_AT,
    ];
    message
        .headers
        .retain(|name, _| !dead_letter_headers.contains(&name.as_str()) && !name.starts_with("x-death"));
    message
}
