//! Messages past their due time: moved to the dead-letter queue, or dropped if their queue has none.

use bus::message::Message;

use super::{Changes, Entry, MessageId, Millis, QueueName, Queues, Stored};

/// The headers that the broker adds to a message that it dead-letters, named as the AMQP transport names RabbitMQ's own
/// record: `x-death-queue`, `x-death-reason` (`expired` or `delivery_limit`) and `x-death-time` (unix seconds). They describe
/// this one dead-lettering and are removed when the message is published again.
const HEADER_PREFIX: &str = "x-death-";

/// Messages removed from their queues, to be moved or dropped.
pub(crate) type Expiry = Vec<Expired>;

#[derive(Debug)]
pub(crate) struct Expired {
    from: QueueName,
    id: MessageId,
    entry: Entry,
    moved: Option<Stored>,
}

impl Queues {
    /// When the next message will be past its due time.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        self.queues.values().filter_map(|queue| queue.next_due()).min()
    }

    /// Removes at most `limit` messages that are past their due time. A message whose dead-letter queue is full stays
    /// in its queue.
    pub(crate) fn stage_expiry(&mut self, now: Millis, limit: usize, changes: &mut Changes) -> Expiry {
        let overdue: Vec<(QueueName, MessageId)> = self
            .queues
            .iter()
            .flat_map(|(name, queue)| queue.overdue(now).map(move |id| (name.clone(), id)))
            .take(limit)
            .collect();
        overdue.into_iter().filter_map(|(from, id)| self.expire(from, id, now, changes)).collect()
    }

    /// Makes the moves visible. Returns how many messages were moved or dropped.
    pub(crate) fn commit_expiry(&mut self, expiry: Expiry) -> usize {
        let count = expiry.len();
        for Expired { entry, moved, .. } in expiry {
            match moved {
                Some(moved) => self.put_reserved(moved),
                None => self.bytes -= entry.bytes(),
            }
        }
        count
    }

    /// Puts every message back into its queue.
    pub(crate) fn abort_expiry(&mut self, expiry: Expiry) {
        for Expired { from, id, entry, moved } in expiry {
            if let Some(moved) = moved {
                self.release_slot(&moved.queue);
            }
            self.put(&from, id, entry);
        }
    }

    fn expire(
        &mut self,
        from: QueueName,
        id: MessageId,
        now: Millis,
        changes: &mut Changes,
    ) -> Option<Expired> {
        let target = self.queues.get(&from)?.dead_letter.clone();
        if target.as_ref().and_then(|target| self.queues.get(target)).is_some_and(|target| target.is_full()) {
            return None;
        }
        let source = self.queues.get_mut(&from)?;
        let entry = source.remove(id)?;
        if source.durable {
            changes.deleted.push(id);
        }
        let moved =
            target.map(|target| self.stage_message(target, dead_lettered(&entry, &from, now), now, changes));
        Some(Expired { from, id, entry, moved })
    }
}

/// Removes the dead-letter headers of a message that is about to be published.
pub(super) fn remove_headers(message: &mut Message) {
    message.headers.retain(|name, _| !name.starts_with(HEADER_PREFIX));
}

/// The message as it arrives in the dead-letter queue. Its own expiration does not apply there.
fn dead_lettered(entry: &Entry, from: &QueueName, now: Millis) -> Message {
    let mut message = Message { expiration: None, ..entry.message.clone() };
    let reason = if entry.due == Some(Entry::UNDELIVERABLE) { "delivery_limit" } else { "expired" };
    message.set_header("x-death-queue", (&**from).into());
    message.set_header("x-death-reason", reason.into());
    message.set_header("x-death-time", (now / 1_000).into());
    message
}
