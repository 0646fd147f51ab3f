//! The broker as a pure state machine: publish, deliver, acknowledge, expire over plain data.
//!
//! A durable step has two halves. Staging decides the step and reserves the slots it needs; the caller writes the
//! [`Changes`] to the journal; then committing makes the result visible, or aborting restores the state before. Staged
//! messages are neither delivered nor counted as ready.

mod consumer;
mod dead_letter;
mod exchange;
mod queue;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use bus::message::Message;
use bus::topology::{DELIVERY_LIMIT, Topology};

pub(crate) use consumer::{Delivery, DeliveryTag};
pub(crate) use exchange::Answers;
pub use exchange::MAX_MESSAGE_BYTES;
pub(crate) use queue::{Changes, Entry, MessageId, Millis, Overflow, Queue, QueueName, Stored};

use consumer::{Consumer, Unacked};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(pub(crate) u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConsumerId(pub(crate) u64);

/// Messages held in memory before publishers are blocked, in bytes.
const MEMORY_LIMIT_BYTES: usize = 512 * 1024 * 1024;

/// Bounds that tests lower.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How often a message is delivered before it is dead-lettered.
    pub(crate) deliveries: u32,
    /// Bytes held before publishers are blocked. The publication that crosses the limit is still accepted.
    pub(crate) memory_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { deliveries: DELIVERY_LIMIT, memory_bytes: MEMORY_LIMIT_BYTES }
    }
}

/// Every queue, its consumers, and the deliveries that are unacknowledged.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    limits: Limits,
    queues: BTreeMap<QueueName, Queue>,
    /// The queues bound to the dead-letter exchange.
    dead_letters: BTreeSet<QueueName>,
    consumers: BTreeMap<ConsumerId, Consumer>,
    unacked: BTreeMap<DeliveryTag, Unacked>,
    /// Queues in which messages may have become deliverable since the last dispatch.
    touched: BTreeSet<QueueName>,
    last_message: u64,
    last_consumer: u64,
    last_tag: u64,
    /// Of everything that is ready, unacknowledged or staged.
    pub(crate) bytes: usize,
}

impl Queues {
    pub(crate) fn new(topology: &Topology, limits: Limits) -> Self {
        let specs = topology.queues();
        let exchange = topology.dead_letter_exchange();
        let dead_letters = specs
            .iter()
            .filter_map(|spec| spec.dead_letter.as_ref())
            .filter(|target| target.exchange == exchange)
            .map(|target| target.routing_key.as_str().into())
            .collect();
        Self {
            limits,
            queues: specs.iter().map(|spec| (spec.name.as_str().into(), Queue::shared(spec))).collect(),
            dead_letters,
            ..Self::default()
        }
    }

    /// Puts a stored message back into its queue. Returns false if that queue is not declared; the message's id is not
    /// used again in either case. A message of a retry queue that is no longer declared, because the delays were changed,
    /// goes to the work queue.
    pub(crate) fn restore(&mut self, stored: Stored) -> bool {
        self.last_message = self.last_message.max(stored.id.0);
        let work_queue = stored.queue.rsplit_once(".retry.").map(|(work, _)| QueueName::from(work));
        let (name, entry) = match work_queue {
            _ if self.queues.contains_key(&stored.queue) => (stored.queue, stored.entry),
            Some(work) if self.queues.contains_key(&work) => (work, Entry { due: None, ..stored.entry }),
            _ => return false,
        };
        self.bytes += entry.bytes();
        self.put(&name, stored.id, entry);
        true
    }

    /// Whether publishers are blocked because too many bytes are held.
    pub(crate) fn is_blocked(&self) -> bool {
        self.bytes >= self.limits.memory_bytes
    }

    pub(crate) fn contains(&self, queue: &str) -> bool {
        self.queues.contains_key(queue)
    }

    pub(crate) fn has_consumer(&self, consumer: ConsumerId) -> bool {
        self.consumers.contains_key(&consumer)
    }

    /// The ready messages and consumers of a queue.
    pub(crate) fn depth(&self, queue: &str) -> Option<(usize, usize)> {
        self.queues.get(queue).map(|queue| (queue.ready.len(), queue.consumers.len()))
    }

    /// Every shared queue with its ready messages, and every exclusive one if `exclusive`.
    pub(crate) fn ready(&self, exclusive: bool) -> Vec<(String, usize)> {
        let queues = self.queues.iter().filter(|(_, queue)| exclusive || queue.owner.is_none());
        queues.map(|(name, queue)| (name.to_string(), queue.ready.len())).collect()
    }

    /// How many deliveries are unacknowledged.
    pub(crate) fn unacked(&self) -> usize {
        self.unacked.len()
    }

    pub(crate) fn declare_exclusive(&mut self, name: QueueName, queue: Queue) {
        self.queues.insert(name, queue);
    }

    pub(crate) fn delete(&mut self, name: &str) {
        if let Some(queue) = self.queues.remove(name) {
            self.bytes -= queue.bytes();
            for consumer in queue.consumers {
                self.consumers.remove(&consumer);
            }
        }
    }

    /// Ends a connection: cancels its consumers, requeues its unacknowledged deliveries and deletes its exclusive queues.
    pub(crate) fn close_connection(&mut self, connection: ConnectionId) {
        let consumers = self.consumers.iter().filter(|(_, consumer)| consumer.connection == connection);
        for consumer in consumers.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.cancel(consumer);
        }
        let owned = |unacked: &Unacked| unacked.connection == Some(connection) && !unacked.acking;
        let unacked = self.unacked.iter().filter(|(_, unacked)| owned(unacked));
        for tag in unacked.map(|(tag, _)| *tag).collect::<Vec<_>>() {
            self.put_back(tag);
        }
        self.delete_exclusive(|owner| owner == connection);
    }

    /// Leaves what a crash of the process leaves: the durable queues, with their unacknowledged messages back in place.
    pub(crate) fn crash(&mut self) {
        self.delete_exclusive(|_| true);
        for tag in self.unacked.keys().copied().collect::<Vec<_>>() {
            self.put_back(tag);
        }
        self.consumers.clear();
        for queue in self.queues.values_mut() {
            queue.consumers.clear();
            if !queue.durable {
                self.bytes -= queue.bytes();
                queue.clear();
            }
        }
        self.touched.clear();
    }

    fn delete_exclusive(&mut self, owned_by: impl Fn(ConnectionId) -> bool) {
        let owned = self.queues.iter().filter(|(_, queue)| queue.owner.is_some_and(&owned_by));
        for name in owned.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.delete(&name);
        }
    }

    fn put(&mut self, name: &QueueName, id: MessageId, entry: Entry) {
        let dropped = match self.queues.get_mut(name) {
            Some(queue) => {
                self.touched.insert(name.clone());
                queue.put(id, entry)
            }
            None => Some(entry),
        };
        self.bytes -= dropped.map_or(0, |dropped| dropped.bytes());
    }

    /// Puts a staged message into the slot that was reserved for it.
    fn put_reserved(&mut self, stored: Stored) {
        self.release_slot(&stored.queue);
        self.put(&stored.queue, stored.id, stored.entry);
    }

    fn release_slot(&mut self, queue: &QueueName) {
        if let Some(queue) = self.queues.get_mut(queue) {
            queue.reserved -= 1;
        }
    }

    /// Reserves a slot in a queue for a new message, and records the message if the queue is durable.
    fn stage_message(
        &mut self,
        queue: QueueName,
        message: Message,
        now: Millis,
        changes: &mut Changes,
    ) -> Stored {
        self.last_message += 1;
        let id = MessageId(self.last_message);
        let target = self.queues.get_mut(&queue).expect("messages are only routed to queues that exist");
        target.reserved += 1;
        let due = target.due_at(&message, now);
        let stored = Stored { id, queue, entry: Entry { message, delivery_count: 0, due } };
        if target.durable {
            changes.written.push(stored.clone());
        }
        stored
    }
}
