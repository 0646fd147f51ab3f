//! Delivering: which consumer is next, which deliveries are unacknowledged, and how each is acknowledged or requeued.

use bus::message::Message;

use super::{Changes, ConnectionId, ConsumerId, Entry, MessageId, Millis, QueueName, Queues};

/// One delivery of a message. Each redelivery has a tag of its own, so that a late acknowledgement of the first
/// delivery can't affect the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DeliveryTag(u64);

/// A delivered message, acknowledged or requeued by its tag.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) tag: DeliveryTag,
    pub(crate) message: Message,
    pub(crate) delivery_count: u32,
    /// Whether its acknowledgement must be journaled.
    pub(crate) durable: bool,
}

/// A consumer that acknowledges.
#[derive(Debug)]
pub(super) struct Consumer {
    queue: QueueName,
    pub(super) connection: ConnectionId,
    prefetch: u32,
    unacked: u32,
}

/// A delivery that is not acknowledged yet.
#[derive(Debug)]
pub(super) struct Unacked {
    queue: QueueName,
    id: MessageId,
    entry: Entry,
    pub(super) connection: Option<ConnectionId>,
    consumer: Option<ConsumerId>,
    /// Whether its acknowledgement is being journaled.
    pub(super) acking: bool,
}

impl Queues {
    /// Begins to consume a shared queue. Returns nothing if there is no such queue or it is exclusive.
    pub(crate) fn subscribe(
        &mut self,
        connection: ConnectionId,
        name: &str,
        prefetch: u16,
    ) -> Option<ConsumerId> {
        let name = self.queues.get_key_value(name)?.0.clone();
        let queue = self.queues.get_mut(&name).filter(|queue| queue.owner.is_none())?;
        self.last_consumer += 1;
        let id = ConsumerId(self.last_consumer);
        queue.consumers.push_back(id);
        let prefetch = u32::from(prefetch.max(1));
        self.consumers.insert(id, Consumer { queue: name.clone(), connection, prefetch, unacked: 0 });
        self.touched.insert(name);
        Some(id)
    }

    /// Ends a consumer. Its unacknowledged deliveries may still be acknowledged.
    pub(crate) fn cancel(&mut self, id: ConsumerId) {
        if let Some(consumer) = self.consumers.remove(&id)
            && let Some(queue) = self.queues.get_mut(&consumer.queue)
        {
            queue.consumers.retain(|other| *other != id);
        }
    }

    /// Delivers every message that can be delivered now, to the consumers of a queue in turn, each within its prefetch.
    pub(crate) fn dispatch(&mut self, now: Millis) -> Vec<(ConsumerId, Delivery)> {
        let mut deliveries = Vec::new();
        for name in std::mem::take(&mut self.touched) {
            let Some(queue) = self.queues.get(&name) else { continue };
            let free = queue.consumers.iter().map(|id| self.consumers[id].free() as usize).sum();
            let ids: Vec<MessageId> = queue.deliverable(now).take(free).collect();
            for id in ids {
                let consumer =
                    self.next_consumer(&name).expect("as many messages as consumers have room for");
                let connection = self.consumers[&consumer].connection;
                if let Some(delivery) = self.deliver(&name, id, Some(connection), Some(consumer)) {
                    deliveries.push((consumer, delivery));
                }
            }
        }
        deliveries
    }

    /// The queues in which messages may have become deliverable since the last dispatch.
    pub(crate) fn touched(&self) -> impl Iterator<Item = &QueueName> {
        self.touched.iter()
    }

    /// Delivers the `n`th deliverable message (0 is the next) to no consumer, for `connection` to acknowledge.
    pub(crate) fn get(
        &mut self,
        name: &str,
        n: usize,
        connection: Option<ConnectionId>,
        now: Millis,
    ) -> Option<Delivery> {
        let (name, id) = self.deliverable(name, n, now)?;
        self.deliver(&name, id, connection, None)
    }

    /// Delivers the `n`th deliverable message to the next consumer that has room for it.
    pub(crate) fn deliver_nth(
        &mut self,
        name: &str,
        n: usize,
        now: Millis,
    ) -> Option<(ConsumerId, Delivery)> {
        let (name, id) = self.deliverable(name, n, now)?;
        let consumer = self.next_consumer(&name)?;
        let connection = self.consumers[&consumer].connection;
        self.deliver(&name, id, Some(connection), Some(consumer)).map(|delivery| (consumer, delivery))
    }

    /// Removes the `n`th deliverable message, for a consumer without acknowledgements.
    pub(crate) fn pop(&mut self, name: &str, n: usize, now: Millis) -> Option<Message> {
        let queue = self.queues.get_mut(name)?;
        let id = queue.deliverable(now).nth(n)?;
        let entry = queue.remove(id)?;
        self.bytes -= entry.bytes();
        Some(entry.message)
    }

    /// Puts a delivered message back into its queue, in place. Unknown tags (acknowledged, or of a closed connection)
    /// are ignored.
    pub(crate) fn requeue(&mut self, tag: DeliveryTag) {
        if self.unacked.get(&tag).is_some_and(|unacked| !unacked.acking) {
            self.put_back(tag);
        }
    }

    /// Begins to acknowledge a delivery. Returns false if the delivery is acknowledged or requeued already.
    pub(crate) fn stage_ack(&mut self, tag: DeliveryTag, changes: &mut Changes) -> bool {
        let Some(unacked) = self.unacked.get_mut(&tag).filter(|unacked| !unacked.acking) else {
            return false;
        };
        unacked.acking = true;
        if self.queues.get(&unacked.queue).is_some_and(|queue| queue.durable) {
            changes.deleted.push(unacked.id);
        }
        true
    }

    pub(crate) fn commit_ack(&mut self, tag: DeliveryTag) {
        if let Some(unacked) = self.remove_unacked(tag) {
            self.bytes -= unacked.entry.bytes();
        }
    }

    /// Ends a delivery by putting its message back, counted; also if its acknowledgement could not be journaled. A message
    /// that has been delivered too often becomes due for the dead-letter queue, if its queue has one.
    pub(crate) fn put_back(&mut self, tag: DeliveryTag) {
        let Some(Unacked { queue: name, id, mut entry, .. }) = self.remove_unacked(tag) else { return };
        entry.delivery_count = entry.delivery_count.saturating_add(1);
        let has_dead_letters = self.queues.get(&name).is_some_and(|queue| queue.dead_letter.is_some());
        if has_dead_letters && entry.delivery_count > self.limits.deliveries {
            entry.due = Some(Entry::UNDELIVERABLE);
        }
        self.put(&name, id, entry);
    }

    fn deliverable(&self, name: &str, n: usize, now: Millis) -> Option<(QueueName, MessageId)> {
        let (name, queue) = self.queues.get_key_value(name)?;
        Some((name.clone(), queue.deliverable(now).nth(n)?))
    }

    fn remove_unacked(&mut self, tag: DeliveryTag) -> Option<Unacked> {
        let unacked = self.unacked.remove(&tag)?;
        if let Some(consumer) = unacked.consumer.and_then(|id| self.consumers.get_mut(&id)) {
            consumer.unacked -= 1;
            self.touched.insert(unacked.queue.clone());
        }
        Some(unacked)
    }

    fn deliver(
        &mut self,
        name: &QueueName,
        id: MessageId,
        connection: Option<ConnectionId>,
        consumer: Option<ConsumerId>,
    ) -> Option<Delivery> {
        let queue = self.queues.get_mut(name)?;
        let durable = queue.durable;
        let entry = queue.remove(id)?;
        if let Some(consumer) = consumer.and_then(|id| self.consumers.get_mut(&id)) {
            consumer.unacked += 1;
        }
        self.last_tag += 1;
        let tag = DeliveryTag(self.last_tag);
        let (message, delivery_count) = (entry.message.clone(), entry.delivery_count);
        let unacked = Unacked { queue: name.clone(), id, entry, connection, consumer, acking: false };
        self.unacked.insert(tag, unacked);
        Some(Delivery { tag, message, delivery_count, durable })
    }

    /// Returns the next consumer that has room, and moves it to the end of the turn.
    fn next_consumer(&mut self, name: &QueueName) -> Option<ConsumerId> {
        let turn = &mut self.queues.get_mut(name)?.consumers;
        let position = turn.iter().position(|id| self.consumers[id].free() > 0)?;
        turn.rotate_left(position + 1);
        turn.back().copied()
    }
}

impl Consumer {
    fn free(&self) -> u32 {
        self.prefetch.saturating_sub(self.unacked)
    }
}
