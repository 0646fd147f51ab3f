//! Delivering: whose turn it is, what is in whose hands, and how it is settled.

use bus::message::Message;

use super::{Changes, ConnectionId, ConsumerId, Entry, MessageId, Millis, QueueName, Queues};

/// One delivery of a message. A message that is delivered again has another tag, so that a late
/// settlement of the first can't touch the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DeliveryTag(u64);

/// A message on its way to somebody, to be settled by its tag.
#[derive(Debug)]
pub(crate) struct Handout {
    pub(crate) tag: DeliveryTag,
    pub(crate) message: Message,
    pub(crate) delivery_count: u32,
    /// Settling it has to be written down.
    pub(crate) durable: bool,
}

/// A consumer that acknowledges.
#[derive(Debug)]
pub(super) struct Consumer {
    queue: QueueName,
    connection: ConnectionId,
    prefetch: u32,
    unsettled: u32,
}

/// A message in somebody's hands.
#[derive(Debug)]
pub(super) struct Unsettled {
    queue: QueueName,
    id: MessageId,
    entry: Entry,
    connection: Option<ConnectionId>,
    consumer: Option<ConsumerId>,
    /// Its acknowledgement is being written down.
    settling: bool,
}

impl Queues {
    /// Begins to consume a shared queue. Nothing where there is no such queue, or it is somebody's own.
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
        self.consumers.insert(id, Consumer { queue: name.clone(), connection, prefetch, unsettled: 0 });
        self.touched.insert(name);
        Some(id)
    }

    /// Ends a consumer. What is in its hands stays there until it is settled.
    pub(crate) fn cancel(&mut self, id: ConsumerId) {
        if let Some(consumer) = self.consumers.remove(&id)
            && let Some(queue) = self.queues.get_mut(&consumer.queue)
        {
            queue.consumers.retain(|other| *other != id);
        }
    }

    /// Ends a connection: its consumers, its exclusive queues, and what it holds goes back.
    pub(crate) fn close_connection(&mut self, connection: ConnectionId) {
        let consumers: Vec<ConsumerId> = self
            .consumers
            .iter()
            .filter(|(_, consumer)| consumer.connection == connection)
            .map(|(id, _)| *id)
            .collect();
        for consumer in consumers {
            self.cancel(consumer);
        }
        let held: Vec<DeliveryTag> = self
            .unsettled
            .iter()
            .filter(|(_, held)| held.connection == Some(connection) && !held.settling)
            .map(|(tag, _)| *tag)
            .collect();
        for tag in held {
            self.give_back(tag);
        }
        let own: Vec<QueueName> = self
            .queues
            .iter()
            .filter(|(_, queue)| queue.owner == Some(connection))
            .map(|(name, _)| name.clone())
            .collect();
        for name in own {
            self.delete(&name);
        }
    }

    /// Hands out what can be delivered now, consumers of a queue in turn, each within its prefetch.
    pub(crate) fn dispatch(&mut self, now: Millis) -> Vec<(ConsumerId, Handout)> {
        let mut handouts = Vec::new();
        for name in std::mem::take(&mut self.touched) {
            let Some(queue) = self.queues.get(&name) else { continue };
            let free = queue.consumers.iter().map(|id| self.consumers[id].free() as usize).sum();
            let ids: Vec<MessageId> = queue.deliverable(now).take(free).collect();
            for id in ids {
                let consumer =
                    self.next_consumer(&name).expect("as many messages as consumers have room for");
                let connection = self.consumers[&consumer].connection;
                if let Some(handout) = self.hand_out(&name, id, Some(connection), Some(consumer)) {
                    handouts.push((consumer, handout));
                }
            }
        }
        handouts
    }

    /// The queues where something may be deliverable to somebody who asks for it.
    pub(crate) fn touched(&self) -> impl Iterator<Item = &QueueName> {
        self.touched.iter()
    }

    /// Takes the `n`th deliverable message (0 is the next) into a connection's hands, or nobody's in particular.
    pub(crate) fn take(
        &mut self,
        name: &str,
        n: usize,
        connection: Option<ConnectionId>,
        now: Millis,
    ) -> Option<Handout> {
        let (name, queue) = self.queues.get_key_value(name)?;
        let (name, id) = (name.clone(), queue.deliverable(now).nth(n)?);
        self.hand_out(&name, id, connection, None)
    }

    /// Takes the `n`th deliverable message for a consumer that has room for it.
    pub(crate) fn take_for_consumer(
        &mut self,
        name: &str,
        n: usize,
        now: Millis,
    ) -> Option<(ConsumerId, Handout)> {
        let (name, queue) = self.queues.get_key_value(name)?;
        let (name, id) = (name.clone(), queue.deliverable(now).nth(n)?);
        let consumer = self.next_consumer(&name)?;
        let connection = self.consumers[&consumer].connection;
        self.hand_out(&name, id, Some(connection), Some(consumer)).map(|handout| (consumer, handout))
    }

    /// Takes the `n`th deliverable message out for good, for a consumer without acknowledgements.
    pub(crate) fn pull(&mut self, name: &str, n: usize, now: Millis) -> Option<Message> {
        let queue = self.queues.get_mut(name)?;
        let id = queue.deliverable(now).nth(n)?;
        let entry = queue.remove(id)?;
        self.bytes -= entry.bytes();
        Some(entry.message)
    }

    /// Back to its queue, in place. Unknown tags (settled, or of a closed connection) are ignored.
    pub(crate) fn requeue(&mut self, tag: DeliveryTag) {
        if self.unsettled.get(&tag).is_some_and(|held| !held.settling) {
            self.give_back(tag);
        }
    }

    /// Begins to acknowledge a delivery. False where it is no longer in anybody's hands.
    pub(crate) fn stage_ack(&mut self, tag: DeliveryTag, changes: &mut Changes) -> bool {
        let Some(held) = self.unsettled.get_mut(&tag).filter(|held| !held.settling) else { return false };
        held.settling = true;
        if self.queues.get(&held.queue).is_some_and(|queue| queue.durable) {
            changes.deleted.push(held.id);
        }
        true
    }

    /// The message is done with.
    pub(crate) fn commit_ack(&mut self, tag: DeliveryTag) {
        if let Some(held) = self.release(tag) {
            self.bytes -= held.entry.bytes();
        }
    }

    /// The acknowledgement could not be written down: the message is delivered again.
    pub(crate) fn abort_ack(&mut self, tag: DeliveryTag) {
        self.give_back(tag);
    }

    /// Ends a delivery by putting the message back, counted; where the count is too high it is due for
    /// the dead letters, if its queue has any.
    pub(super) fn give_back(&mut self, tag: DeliveryTag) {
        let Some(Unsettled { queue: name, id, mut entry, .. }) = self.release(tag) else { return };
        entry.delivery_count = entry.delivery_count.saturating_add(1);
        let has_dead_letters = self.queues.get(&name).is_some_and(|queue| queue.dead_letter.is_some());
        if has_dead_letters && entry.delivery_count > self.limits.deliveries {
            entry.due = Some(Entry::GIVEN_UP);
        }
        self.put(&name, id, entry);
    }

    fn release(&mut self, tag: DeliveryTag) -> Option<Unsettled> {
        let held = self.unsettled.remove(&tag)?;
        if let Some(consumer) = held.consumer.and_then(|id| self.consumers.get_mut(&id)) {
            consumer.unsettled -= 1;
            self.touched.insert(held.queue.clone());
        }
        Some(held)
    }

    fn hand_out(
        &mut self,
        name: &QueueName,
        id: MessageId,
        connection: Option<ConnectionId>,
        consumer: Option<ConsumerId>,
    ) -> Option<Handout> {
        let queue = self.queues.get_mut(name)?;
        let durable = queue.durable;
        let entry = queue.remove(id)?;
        if let Some(consumer) = consumer.and_then(|id| self.consumers.get_mut(&id)) {
            consumer.unsettled += 1;
        }
        self.last_tag += 1;
        let tag = DeliveryTag(self.last_tag);
        let (message, delivery_count) = (entry.message.clone(), entry.delivery_count);
        let held = Unsettled { queue: name.clone(), id, entry, connection, consumer, settling: false };
        self.unsettled.insert(tag, held);
        Some(Handout { tag, message, delivery_count, durable })
    }

    /// The next consumer in turn that has room; it goes to the end of the line.
    fn next_consumer(&mut self, name: &QueueName) -> Option<ConsumerId> {
        let line = &mut self.queues.get_mut(name)?.consumers;
        let position = line.iter().position(|id| self.consumers[id].free() > 0)?;
        line.rotate_left(position + 1);
        line.back().copied()
    }
}

impl Consumer {
    fn free(&self) -> u32 {
        self.prefetch.saturating_sub(self.unsettled)
    }
}
