//! What is past its time: moved to the queue behind, or dropped where there is none.

use bus::message::{HeaderValue, Message};

use super::{Changes, Entry, MessageId, Millis, QueueName, Queues, Stored, death};

/// Messages taken out of their queues, to move on or go.
#[derive(Debug)]
pub(crate) struct Expiry(Vec<Departure>);

#[derive(Debug)]
struct Departure {
    from: QueueName,
    id: MessageId,
    entry: Entry,
    to: Option<Stored>,
}

impl Expiry {
    /// How many messages it is about.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Queues {
    /// When there will next be something past its time.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        self.queues.values().filter_map(|queue| queue.next_due()).min()
    }

    /// Takes out at most `limit` messages that are past their time. A message whose next queue is full
    /// stays where it is.
    pub(crate) fn stage_expiry(&mut self, now: Millis, limit: usize, changes: &mut Changes) -> Expiry {
        let overdue: Vec<(QueueName, MessageId)> = self
            .queues
            .iter()
            .flat_map(|(name, queue)| queue.overdue(now).map(move |id| (name.clone(), id)))
            .take(limit)
            .collect();
        let departures = overdue
            .into_iter()
            .filter_map(|(from, id)| self.stage_departure(from, id, now, changes))
            .collect();
        Expiry(departures)
    }

    /// Makes the moves visible.
    pub(crate) fn commit_expiry(&mut self, expiry: Expiry) {
        for Departure { entry, to, .. } in expiry.0 {
            let Some(moved) = to else {
                self.bytes -= entry.bytes();
                continue;
            };
            if let Some(queue) = self.queues.get_mut(&moved.queue) {
                queue.forgo();
            }
            self.put(&moved.queue, moved.id, moved.entry);
        }
    }

    /// Puts everything back to where it was.
    pub(crate) fn abort_expiry(&mut self, expiry: Expiry) {
        for Departure { from, id, entry, to } in expiry.0 {
            if let Some(queue) = to.and_then(|moved| self.queues.get_mut(&moved.queue)) {
                queue.forgo();
            }
            self.put(&from, id, entry);
        }
    }

    fn stage_departure(
        &mut self,
        from: QueueName,
        id: MessageId,
        now: Millis,
        changes: &mut Changes,
    ) -> Option<Departure> {
        let target = self.queues.get(&from)?.dead_letter.clone();
        if target.as_ref().and_then(|target| self.queues.get(target)).is_some_and(|target| target.is_full()) {
            return None;
        }
        let source = self.queues.get_mut(&from)?;
        let entry = source.remove(id)?;
        if source.durable {
            changes.deleted.push(id);
        }
        let to = target.map(|target| self.stage_arrival(target, &from, &entry, now, changes));
        Some(Departure { from, id, entry, to })
    }

    fn stage_arrival(
        &mut self,
        target: QueueName,
        from: &QueueName,
        entry: &Entry,
        now: Millis,
        changes: &mut Changes,
    ) -> Stored {
        let id = self.next_message();
        let message = dead_lettered(entry, from, now);
        let queue =
            self.queues.get_mut(&target).expect("the topology declares the queues it dead-letters to");
        queue.expect();
        let due = queue.due_at(&message, now);
        let stored = Stored { id, queue: target, entry: Entry { message, delivery_count: 0, due } };
        if queue.durable {
            changes.written.push(stored.clone());
        }
        stored
    }
}

/// The message as it arrives in the queue behind. Its own expiration has been used up.
fn dead_lettered(entry: &Entry, from: &QueueName, now: Millis) -> Message {
    let mut message = Message { expiration: None, ..entry.message.clone() };
    let reason = if entry.due == Some(Entry::GIVEN_UP) { "delivery_limit" } else { "expired" };
    message.set_header(death::QUEUE, HeaderValue::from(&**from));
    message.set_header(death::REASON, HeaderValue::from(reason));
    message.set_header(death::TIME, HeaderValue::from(now / 1_000));
    message
}
