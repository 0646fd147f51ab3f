//! One queue: what is ready in it, and what is on its way in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bus::message::Message;
use bus::topology::{QueueKind, QueueSpec};

use super::{ConnectionId, ConsumerId};

/// A queue's full name.
pub(crate) type QueueName = Arc<str>;

/// Unix milliseconds.
pub(crate) type Millis = i64;

/// One message's copy in one queue. Ids rise in the order of publishing, which is the order of delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MessageId(pub(crate) u64);

/// What a message costs beside its body, roughly: properties, headers, places in maps.
const OVERHEAD_BYTES: usize = 512;

/// A message in a queue.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) message: Message,
    pub(crate) delivery_count: u32,
    /// The last instant at which it may be delivered; afterwards it is dead-lettered or dropped.
    pub(crate) due: Option<Millis>,
}

impl Entry {
    /// Marks a message that has been delivered too often: due since ever.
    pub(crate) const GIVEN_UP: Millis = Millis::MIN;

    pub(crate) fn is_due(&self, now: Millis) -> bool {
        self.due.is_some_and(|due| due < now)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.message.body.len() + OVERHEAD_BYTES
    }
}

/// What a full queue does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overflow {
    /// Refuses what is published.
    Reject,
    /// Drops its oldest message.
    DropHead,
}

/// A queue.
#[derive(Debug)]
pub(crate) struct Queue {
    /// What is in it outlives the process.
    pub(crate) durable: bool,
    /// Gone with this connection.
    pub(crate) owner: Option<ConnectionId>,
    pub(crate) max_length: usize,
    pub(crate) overflow: Overflow,
    pub(crate) ttl: Option<Duration>,
    /// The queue that takes what expires or has been delivered too often.
    pub(crate) dead_letter: Option<QueueName>,
    pub(crate) bindings: Vec<String>,
    /// In turn: the first is the next to be served.
    pub(crate) consumers: VecDeque<ConsumerId>,
    ready: BTreeMap<MessageId, Entry>,
    due: BTreeSet<(Millis, MessageId)>,
    /// Messages that are being committed and have their place already.
    incoming: usize,
}

impl Queue {
    /// A shared queue. Both of its possible dead-letter exchanges route by the target queue's name.
    pub(crate) fn shared(spec: &QueueSpec) -> Self {
        Self {
            durable: spec.kind == QueueKind::Work,
            owner: None,
            max_length: spec.max_length.map_or(usize::MAX, |length| length as usize),
            overflow: Overflow::Reject,
            ttl: spec.message_ttl,
            dead_letter: spec.dead_letter.as_ref().map(|letter| letter.routing_key.as_str().into()),
            bindings: spec.event_bindings.clone(),
            consumers: VecDeque::new(),
            ready: BTreeMap::new(),
            due: BTreeSet::new(),
            incoming: 0,
        }
    }

    /// A connection's own queue.
    pub(crate) fn exclusive(
        owner: ConnectionId,
        bindings: Vec<String>,
        max_length: u32,
        overflow: Overflow,
    ) -> Self {
        Self {
            durable: false,
            owner: Some(owner),
            max_length: max_length as usize,
            overflow,
            ttl: None,
            dead_letter: None,
            bindings,
            consumers: VecDeque::new(),
            ready: BTreeMap::new(),
            due: BTreeSet::new(),
            incoming: 0,
        }
    }

    pub(crate) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Whether another message is refused.
    pub(crate) fn is_full(&self) -> bool {
        self.overflow == Overflow::Reject && self.ready.len() + self.incoming >= self.max_length
    }

    /// Until when a message published now may be delivered.
    pub(crate) fn due_at(&self, message: &Message, now: Millis) -> Option<Millis> {
        let stay = match (self.ttl, message.expiration) {
            (Some(ttl), Some(expiration)) => ttl.min(expiration),
            (stay, None) | (None, stay) => stay?,
        };
        Some(now.saturating_add(i64::try_from(stay.as_millis()).unwrap_or(Millis::MAX)))
    }

    /// Keeps a place for a message that is being committed.
    pub(crate) fn expect(&mut self) {
        self.incoming += 1;
    }

    /// Gives the place up again.
    pub(crate) fn forgo(&mut self) {
        self.incoming -= 1;
    }

    /// Puts a message at the place its id says. Answers what had to make room.
    pub(crate) fn put(&mut self, id: MessageId, entry: Entry) -> Option<Entry> {
        if let Some(due) = entry.due {
            self.due.insert((due, id));
        }
        self.ready.insert(id, entry);
        let overflows = self.overflow == Overflow::DropHead && self.ready.len() > self.max_length;
        let head = overflows.then(|| self.ready.keys().next().copied()).flatten();
        head.and_then(|head| self.remove(head))
    }

    pub(crate) fn remove(&mut self, id: MessageId) -> Option<Entry> {
        let entry = self.ready.remove(&id)?;
        if let Some(due) = entry.due {
            self.due.remove(&(due, id));
        }
        Some(entry)
    }

    /// What may be delivered, the oldest first.
    pub(crate) fn deliverable(&self, now: Millis) -> impl Iterator<Item = MessageId> {
        self.ready.iter().filter(move |(_, entry)| !entry.is_due(now)).map(|(id, _)| *id)
    }

    /// What is past its time, by time.
    pub(crate) fn overdue(&self, now: Millis) -> impl Iterator<Item = MessageId> {
        self.due.iter().take_while(move |(due, _)| *due < now).map(|(_, id)| *id)
    }

    /// When its next message is past its time.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        self.due.first().map(|(due, _)| due.saturating_add(1))
    }

    pub(crate) fn bytes(&self) -> usize {
        self.ready.values().map(Entry::bytes).sum()
    }

    /// Empties it, as a crash does with what is in memory only.
    pub(crate) fn clear(&mut self) {
        self.ready.clear();
        self.due.clear();
        self.incoming = 0;
    }
}
