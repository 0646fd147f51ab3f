//! The broker as a simulation drives it: nothing moves by itself.

use std::sync::Arc;

use bus::clock::Clock;
use bus::topology::Topology;
use bus::transport::{Delivery, SharedTransport};
use schema::time::Timestamp;
use tokio::sync::mpsc::error::TrySendError;

use crate::connection::Connection;
use crate::queues::Changes;
use crate::shared::{Drive, Listener, Shared, State};

/// A broker without tasks and without a store, for a simulation that decides every step.
///
/// Publishing and settling take effect at once. A message is delivered only by [`ManualBroker::deliver`] or
/// [`ManualBroker::take`]; time passes only in [`ManualBroker::tick`]. Names of exclusive queues are
/// counted, so that the same steps lead to the same state.
#[derive(Debug)]
pub struct ManualBroker {
    shared: Arc<Shared>,
}

impl ManualBroker {
    /// An empty broker. The clock says when what is published will be due.
    pub fn new(topology: Topology, clock: Arc<dyn Clock>) -> Self {
        Self { shared: Arc::new(Shared::new(topology, clock, Drive::Manual, "run".to_owned())) }
    }

    /// A connection for one participant. Its consumers get what [`ManualBroker::deliver`] sends them.
    pub fn transport(&self, owner: &str) -> SharedTransport {
        Arc::new(Connection::open(self.shared.clone(), owner))
    }

    /// Every queue, exclusive ones as well, with its ready messages, by name.
    pub fn queues(&self) -> Vec<(String, usize)> {
        self.shared.with(|queues| queues.ready(true).map(|(name, ready)| (name.to_string(), ready)).collect())
    }

    /// Takes the next deliverable message of a queue.
    pub fn take(&self, queue: &str) -> Option<Delivery> {
        self.take_at(queue, 0)
    }

    /// Takes the `n`th deliverable message of a queue, out of turn where that isn't 0.
    pub fn take_at(&self, queue: &str, n: usize) -> Option<Delivery> {
        let now = self.shared.now();
        let handout = self.shared.with(|queues| queues.take(queue, n, None, now))?;
        Some(self.shared.delivery(handout))
    }

    /// Sends the `n`th deliverable message of a queue to its next consumer in turn. False where there is
    /// no such message, or no consumer with room for it.
    pub fn deliver(&self, queue: &str, n: usize) -> bool {
        self.shared.with_state(|state| self.send(state, queue, n)).unwrap_or(false)
    }

    /// Moves on or drops everything that is past its time. Answers how many messages that were.
    pub fn tick(&self, now: Timestamp) -> usize {
        self.shared.with(|queues| {
            let expiry = queues.stage_expiry(now.unix_ms(), usize::MAX, &mut Changes::default());
            let count = expiry.len();
            queues.commit_expiry(expiry);
            count
        })
    }

    /// Ends every connection as a crash of the whole process does. What is in durable queues remains, with
    /// what was in somebody's hands back in its place; everything else is gone.
    pub fn crash(&self) {
        self.shared.with_state(State::crash);
    }

    fn send(&self, state: &mut State, queue: &str, n: usize) -> Option<bool> {
        let now = self.shared.now();
        let Some(Listener::Waiting(outlet)) = state.listener(queue) else {
            let (consumer, handout) = state.queues.take_for_consumer(queue, n, now)?;
            return Some(self.shared.send(state, consumer, handout));
        };
        match outlet.clone().try_reserve() {
            Ok(place) => {
                place.send(Delivery::settled(state.queues.pull(queue, n, now)?));
                Some(true)
            }
            Err(TrySendError::Full(())) => None,
            Err(TrySendError::Closed(())) => {
                state.unlisten(queue);
                None
            }
        }
    }
}
