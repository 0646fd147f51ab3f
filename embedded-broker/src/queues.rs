//! The broker as a pure state machine: publish, deliver, settle, expire over plain data.
//!
//! What must be durable happens in two steps. Staging decides and keeps a place; the caller writes the
//! [`Changes`] down; then committing makes the result visible, or aborting leaves everything as it was.
//! What is staged is neither delivered nor counted as ready.

mod changes;
mod death;
mod deliveries;
mod expiry;
mod publishing;
mod queue;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use bus::topology::{DELIVERY_LIMIT, Topology};

pub(crate) use changes::{Changes, Stored};
pub(crate) use deliveries::{DeliveryTag, Handout};
pub(crate) use expiry::Expiry;
pub use publishing::MAX_MESSAGE_BYTES;
pub(crate) use publishing::{Answers, Publication};
pub(crate) use queue::{Entry, MessageId, Millis, Overflow, Queue, QueueName};

use deliveries::{Consumer, Unsettled};

/// A participant's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConnectionId(pub(crate) u64);

/// A consumer of one queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConsumerId(pub(crate) u64);

/// Messages held in memory before publishers are blocked, in bytes.
const MEMORY_LIMIT_BYTES: usize = 512 * 1024 * 1024;

/// Bounds that tests lower.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How often a message is delivered before it is dead-lettered.
    pub(crate) deliveries: u32,
    /// Bytes held before publishers are blocked. The publication that crosses it is still taken.
    pub(crate) memory_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { deliveries: DELIVERY_LIMIT, memory_bytes: MEMORY_LIMIT_BYTES }
    }
}

/// Every queue, who consumes it, and what is in whose hands.
#[derive(Debug)]
pub(crate) struct Queues {
    limits: Limits,
    queues: BTreeMap<QueueName, Queue>,
    /// The queues that the dead-letter exchange reaches.
    dead_letters: BTreeSet<QueueName>,
    consumers: BTreeMap<ConsumerId, Consumer>,
    unsettled: BTreeMap<DeliveryTag, Unsettled>,
    /// Queues where something may have become deliverable since the last dispatch.
    touched: BTreeSet<QueueName>,
    last_message: u64,
    last_consumer: u64,
    last_tag: u64,
    /// Of everything that is ready, unsettled or staged.
    bytes: usize,
}

impl Queues {
    pub(crate) fn new(topology: &Topology, limits: Limits) -> Self {
        let specs = topology.queues();
        let exchange = topology.dead_letter_exchange();
        let dead_letters = specs
            .iter()
            .filter_map(|spec| spec.dead_letter.as_ref())
            .filter(|letter| letter.exchange == exchange)
            .map(|letter| letter.routing_key.as_str().into())
            .collect();
        Self {
            limits,
            queues: specs.iter().map(|spec| (spec.name.as_str().into(), Queue::shared(spec))).collect(),
            dead_letters,
            consumers: BTreeMap::new(),
            unsettled: BTreeMap::new(),
            touched: BTreeSet::new(),
            last_message: 0,
            last_consumer: 0,
            last_tag: 0,
            bytes: 0,
        }
    }

    /// Takes in a message that was written down earlier. False where no queue is known for it; its id is
    /// not given away again all the same.
    ///
    /// What waited in a retry queue that is no longer declared (the delays were changed) is due now.
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

    /// Whether publishers are blocked, as too much is held.
    pub(crate) fn is_blocked(&self) -> bool {
        self.bytes >= self.limits.memory_bytes
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn contains(&self, queue: &str) -> bool {
        self.queues.contains_key(queue)
    }

    pub(crate) fn has_consumer(&self, consumer: ConsumerId) -> bool {
        self.consumers.contains_key(&consumer)
    }

    /// Ready messages and consumers of a queue.
    pub(crate) fn depth(&self, queue: &str) -> Option<(usize, usize)> {
        self.queues.get(queue).map(|queue| (queue.ready(), queue.consumers.len()))
    }

    /// Every queue with its ready messages; shared ones only, or exclusive ones as well.
    pub(crate) fn ready(&self, exclusive: bool) -> impl Iterator<Item = (&QueueName, usize)> {
        self.queues
            .iter()
            .filter(move |(_, queue)| exclusive || queue.owner.is_none())
            .map(|(name, queue)| (name, queue.ready()))
    }

    /// Messages in somebody's hands.
    pub(crate) fn unsettled(&self) -> usize {
        self.unsettled.len()
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

    /// What a crash of the process leaves: durable queues, with what was in somebody's hands back in place.
    pub(crate) fn crash(&mut self) {
        let exclusive: Vec<QueueName> = self
            .queues
            .iter()
            .filter(|(_, queue)| queue.owner.is_some())
            .map(|(name, _)| name.clone())
            .collect();
        for name in exclusive {
            self.delete(&name);
        }
        for tag in self.unsettled.keys().copied().collect::<Vec<_>>() {
            self.give_back(tag);
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

    fn put(&mut self, name: &QueueName, id: MessageId, entry: Entry) {
        let bytes = entry.bytes();
        match self.queues.get_mut(name) {
            Some(queue) => {
                if let Some(dropped) = queue.put(id, entry) {
                    self.bytes -= dropped.bytes();
                }
                self.touched.insert(name.clone());
            }
            None => self.bytes -= bytes,
        }
    }

    fn next_message(&mut self) -> MessageId {
        self.last_message += 1;
        MessageId(self.last_message)
    }
}
