//! One queue: its ready messages, and the slots reserved for messages that are being committed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bus::message::Message;
use bus::topology::{QueueKind, QueueSpec};

use super::{ConnectionId, ConsumerId};

pub(crate) type QueueName = Arc<str>;

/// Unix milliseconds.
pub(crate) type Millis = i64;

/// One message's copy in one queue. Ids rise in the order of publishing, which is the order of delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MessageId(pub(crate) u64);

/// What a message costs beside its body, roughly: properties, headers, entries in maps.
const OVERHEAD_BYTES: usize = 512;

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) message: Message,
    pub(crate) delivery_count: u32,
    /// The last instant at which it may be delivered; afterwards it is dead-lettered or dropped.
    pub(crate) due: Option<Millis>,
}

impl Entry {
    /// The due time of a message that has been delivered too often.
    pub(crate) const UNDELIVERABLE: Millis = Millis::MIN;

    pub(crate) fn is_due(&self, now: Millis) -> bool {
        self.due.is_some_and(|due| due < now)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.message.body.len() + OVERHEAD_BYTES
    }
}

/// A message as the journal keeps it.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) id: MessageId,
    pub(crate) queue: QueueName,
    pub(crate) entry: Entry,
}

/// The rows that the journal writes and deletes in one transaction before a step becomes visible.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) written: Vec<Stored>,
    pub(crate) deleted: Vec<MessageId>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.written.is_empty() && self.deleted.is_empty()
    }
}

/// What a full queue does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// Refuses new messages.
    #[default]
    Reject,
    /// Drops its oldest message.
    DropHead,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Whether its messages survive the process.
    pub(crate) durable: bool,
    /// The connection of an exclusive queue, which is deleted with it.
    pub(crate) owner: Option<ConnectionId>,
    max_length: usize,
    overflow: Overflow,
    ttl: Option<Duration>,
    /// The queue that receives messages that expire or have been delivered too often.
    pub(crate) dead_letter: Option<QueueName>,
    pub(crate) bindings: Vec<String>,
    /// In turn: the first is served next.
    pub(crate) consumers: VecDeque<ConsumerId>,
    pub(crate) ready: BTreeMap<MessageId, Entry>,
    due: BTreeSet<(Millis, MessageId)>,
    /// Slots reserved for messages that are being committed.
    pub(crate) reserved: usize,
}

impl Queue {
    /// A shared queue. Both of its possible dead-letter exchanges route by the target queue's name.
    pub(crate) fn shared(spec: &QueueSpec) -> Self {
        Self {
            durable: spec.kind == QueueKind::Work,
            max_length: spec.max_length as usize,
            ttl: spec.message_ttl,
            dead_letter: spec.dead_letter.as_ref().map(|target| target.routing_key.as_str().into()),
            bindings: spec.event_bindings.clone(),
            ..Self::default()
        }
    }

    pub(crate) fn exclusive(
        owner: ConnectionId,
        bindings: Vec<String>,
        max_length: u32,
        overflow: Overflow,
    ) -> Self {
        let max_length = max_length as usize;
        Self { owner: Some(owner), bindings, max_length, overflow, ..Self::default() }
    }

    /// Whether another message is refused.
    pub(crate) fn is_full(&self) -> bool {
        self.overflow == Overflow::Reject && self.ready.len() + self.reserved >= self.max_length
    }

    /// Until when a message published now may be delivered.
    pub(crate) fn due_at(&self, message: &Message, now: Millis) -> Option<Millis> {
        let stay = match (self.ttl, message.expiration) {
            (Some(ttl), Some(expiration)) => ttl.min(expiration),
            (stay, None) | (None, stay) => stay?,
        };
        Some(now.saturating_add(i64::try_from(stay.as_millis()).unwrap_or(Millis::MAX)))
    }

    /// Puts a message at the position of its id. Returns the message that was dropped for it, if any.
    pub(crate) fn put(&mut self, id: MessageId, entry: Entry) -> Option<Entry> {
        if let Some(due) = entry.due {
            self.due.insert((due, id));
        }
        self.ready.insert(id, entry);
        let overflows = self.overflow == Overflow::DropHead && self.ready.len() > self.max_length;
        let head = self.ready.keys().next().copied().filter(|_| overflows)?;
        self.remove(head)
    }

    pub(crate) fn remove(&mut self, id: MessageId) -> Option<Entry> {
        let entry = self.ready.remove(&id)?;
        if let Some(due) = entry.due {
            self.due.remove(&(due, id));
        }
        Some(entry)
    }

    /// The messages that may be delivered, the oldest first.
    pub(crate) fn deliverable(&self, now: Millis) -> impl Iterator<Item = MessageId> {
        self.ready.iter().filter(move |(_, entry)| !entry.is_due(now)).map(|(id, _)| *id)
    }

    /// The messages that are past their due time, by due time.
    pub(crate) fn overdue(&self, now: Millis) -> impl Iterator<Item = MessageId> {
        self.due.iter().take_while(move |(due, _)| *due < now).map(|(_, id)| *id)
    }

    /// When its next message will be past its due time.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        self.due.first().map(|(due, _)| due.saturating_add(1))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.ready.values().map(Entry::bytes).sum()
    }

    pub(crate) fn clear(&mut self) {
        self.ready.clear();
        self.due.clear();
        self.reserved = 0;
    }
}
