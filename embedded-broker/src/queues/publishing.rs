//! Publishing: routing, bounds, and the two steps of becoming visible.

use bus::message::Message;
use bus::transport::{PublishError, Target};

use super::{Changes, Entry, MessageId, Millis, QueueName, Queues, Stored, death};
use crate::routing;

/// The largest body that is taken: what RabbitMQ takes by default.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// What became of each message, in the order published.
pub(crate) type Answers = Vec<Result<(), PublishError>>;

/// Messages published together. They become visible together, or not at all.
#[derive(Debug)]
pub(crate) struct Publication {
    answers: Answers,
    copies: Vec<Copy>,
}

/// One message's copy for one queue.
#[derive(Debug)]
struct Copy {
    /// Which message of the publication it is.
    index: usize,
    queue: QueueName,
    id: MessageId,
    entry: Entry,
}

impl Queues {
    /// Whether any of the messages would go to a durable queue.
    pub(crate) fn reaches_durable(&self, messages: &[(Target, Message)]) -> bool {
        messages.iter().any(|(target, _)| self.route(target).iter().any(|queue| self.queues[queue].durable))
    }

    /// Decides about each message and keeps a place for those that are taken.
    ///
    /// A message that one of its queues refuses goes to none of them.
    pub(crate) fn stage_publication(
        &mut self,
        messages: Vec<(Target, Message)>,
        now: Millis,
        changes: &mut Changes,
    ) -> Publication {
        let mut publication = Publication { answers: Vec::new(), copies: Vec::new() };
        for (index, (target, mut message)) in messages.into_iter().enumerate() {
            death::forget(&mut message);
            let answer = self.admit(&target, &message).map(|queues| {
                for queue in queues {
                    publication.copies.push(self.stage_copy(index, queue, &message, now, changes));
                }
            });
            publication.answers.push(answer);
        }
        publication
    }

    /// Makes the publication visible.
    pub(crate) fn commit_publication(&mut self, publication: Publication) -> Answers {
        for copy in publication.copies {
            if let Some(queue) = self.queues.get_mut(&copy.queue) {
                queue.forgo();
            }
            self.put(&copy.queue, copy.id, copy.entry);
        }
        publication.answers
    }

    /// Undoes the publication; what it would have published is answered with this error.
    pub(crate) fn abort_publication(
        &mut self,
        mut publication: Publication,
        error: &PublishError,
    ) -> Answers {
        for copy in publication.copies {
            if let Some(queue) = self.queues.get_mut(&copy.queue) {
                queue.forgo();
            }
            self.bytes -= copy.entry.bytes();
            publication.answers[copy.index] = Err(error.clone());
        }
        publication.answers
    }

    fn stage_copy(
        &mut self,
        index: usize,
        name: QueueName,
        message: &Message,
        now: Millis,
        changes: &mut Changes,
    ) -> Copy {
        let id = self.next_message();
        let queue = self.queues.get_mut(&name).expect("a message is only routed to queues that exist");
        queue.expect();
        let entry = Entry { message: message.clone(), delivery_count: 0, due: queue.due_at(message, now) };
        if queue.durable {
            changes.written.push(Stored { id, queue: name.clone(), entry: entry.clone() });
        }
        self.bytes += entry.bytes();
        Copy { index, queue: name, id, entry }
    }

    fn admit(&self, target: &Target, message: &Message) -> Result<Vec<QueueName>, PublishError> {
        if message.body.len() > MAX_MESSAGE_BYTES && !matches!(target, Target::DeadLetter(_)) {
            return Err(PublishError::TooLarge(MAX_MESSAGE_BYTES));
        }
        if self.is_blocked() {
            return Err(PublishError::Blocked(format!("{} bytes of messages are waiting", self.bytes)));
        }
        let queues = self.route(target);
        if queues.is_empty() && !matches!(target, Target::Events { .. }) {
            return Err(PublishError::Unroutable);
        }
        if queues.iter().any(|queue| self.queues[queue].is_full()) {
            return Err(PublishError::Nacked);
        }
        Ok(queues)
    }

    fn route(&self, target: &Target) -> Vec<QueueName> {
        match target {
            Target::Queue(name) => {
                self.queues.get_key_value(name.as_str()).map(|(name, _)| name.clone()).into_iter().collect()
            }
            Target::DeadLetter(name) => self.dead_letters.get(name.as_str()).cloned().into_iter().collect(),
            Target::Events { routing_key } => self
                .queues
                .iter()
                .filter(|(_, queue)| queue.bindings.iter().any(|key| routing::matches(key, routing_key)))
                .map(|(name, _)| name.clone())
                .collect(),
        }
    }
}
