//! The two brokers: one that runs by itself, and one that a simulation drives step by step.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bus::clock::Clock;
use bus::topology::{QueueSpec, Topology};
use bus::transport::{Delivery, SharedTransport};
use schema::time::Timestamp;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::connection::Connection;
use crate::journal::{Journal, OpenError};
use crate::queues::{Changes, QueueName};
use crate::state::{Command, DispatchMode, ExclusiveConsumer, Shared, State};
use crate::writer::{self, COMMANDS_MAX};

/// The longest time until the timer looks again: the wall clock may jump.
const TIMER_MAX: Duration = Duration::from_secs(1);
/// How often the gauges are recorded. They are not recorded whenever a message comes due as well: each request wakes the
/// timer while its service works on it, and would be shown as unacknowledged until the next time.
const GAUGES_EVERY: Duration = Duration::from_secs(1);

/// Where durable queues are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// In this file, which is created if it does not exist. One broker has it open at a time.
    File(PathBuf),
    /// In memory, lost with the broker.
    Memory,
}

/// A running broker. Dropped without [`EmbeddedBroker::close`] it ends as in a crash, a moment later: confirmed messages
/// are kept, and unacknowledged ones count as delivered.
#[derive(Debug)]
pub struct EmbeddedBroker {
    shared: Arc<Shared>,
    stop: CancellationToken,
    cut_off: CancellationToken,
    tasks: TaskTracker,
}

impl EmbeddedBroker {
    /// Opens the journal, restores its messages, and runs. Needs a tokio runtime.
    ///
    /// # Errors
    /// If the file is in use, written by a newer version, or unreadable.
    pub async fn open(
        storage: Storage,
        topology: Topology,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, OpenError> {
        let path = match &storage {
            Storage::File(path) => Some(path.as_path()),
            Storage::Memory => None,
        };
        let (journal, stored) = Journal::open(path, &consumed(&topology)).await?;
        let (commands, waiting) = mpsc::channel(COMMANDS_MAX);
        let run_id = Uuid::new_v4().simple().to_string();
        let shared = Arc::new(Shared::new(topology, clock, DispatchMode::Automatic(commands), run_id));
        let unknown = shared
            .with(|queues| stored.into_iter().map(|row| queues.restore(row)).filter(|known| !known).count());
        if unknown > 0 {
            tracing::warn!(
                messages = unknown,
                "messages of undeclared queues are kept in the journal, undelivered"
            );
        }
        let (stop, cut_off) = (CancellationToken::new(), CancellationToken::new());
        let tasks = TaskTracker::new();
        tasks.spawn(writer::run(shared.clone(), journal, waiting, stop.clone(), cut_off.clone()));
        tasks.spawn(run_timer(shared.clone(), stop.clone()));
        tasks.close();
        Ok(Self { shared, stop, cut_off, tasks })
    }

    /// Opens a connection for one participant, `<process>.<instance>`. If it is closed or dropped, its exclusive queues
    /// are deleted and its unacknowledged deliveries requeued.
    pub fn transport(&self, owner: &str) -> SharedTransport {
        Arc::new(Connection::open(self.shared.clone(), owner))
    }

    /// Ends every connection, journals the steps that wait for it, and closes the journal.
    pub async fn close(&self) {
        self.shared.stop();
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        self.cut_off.cancel();
        self.stop.cancel();
        self.shared.stop();
    }
}

/// The queues that services consume, as opposed to retry and dead-letter queues.
fn consumed(topology: &Topology) -> Vec<QueueName> {
    let is_consumed = |queue: &QueueSpec| queue.dead_letter.is_some() && queue.message_ttl.is_none();
    topology.queues().into_iter().filter(is_consumed).map(|queue| queue.name.into()).collect()
}

/// Expires messages and records the gauges until stopped.
async fn run_timer(shared: Arc<Shared>, stop: CancellationToken) {
    let mut pause = Duration::ZERO;
    let mut gauges = tokio::time::interval(GAUGES_EVERY);
    gauges.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = gauges.tick() => record_gauges(&shared),
            () = tokio::time::sleep(pause) => {}
            () = shared.due.notified() => {}
        }
        pause = match until_next_due(&shared) {
            Some(Duration::ZERO) if expire(&shared).await > 0 => Duration::ZERO,
            // A message that is due and did not move meets a full queue or a full disk.
            Some(Duration::ZERO) | None => TIMER_MAX,
            Some(wait) => wait.min(TIMER_MAX),
        };
    }
}

fn until_next_due(shared: &Arc<Shared>) -> Option<Duration> {
    let now = shared.now();
    let due = shared.with(|queues| queues.next_due())?;
    Some(Duration::from_millis(u64::try_from(due.saturating_sub(now)).unwrap_or(0)))
}

async fn expire(shared: &Arc<Shared>) -> usize {
    let DispatchMode::Automatic(commands) = &shared.mode else { return 0 };
    let (done, expired) = oneshot::channel();
    if commands.send(Command::Expire { now: shared.now(), done }).await.is_err() {
        return 0;
    }
    expired.await.unwrap_or(0)
}

fn record_gauges(shared: &Arc<Shared>) {
    let (ready, unacked, bytes) = shared.with(|queues| (queues.ready(false), queues.unacked(), queues.bytes));
    for (queue, ready) in ready {
        metrics::gauge!("waybill_broker_ready_messages", "queue" => queue).set(ready as f64);
    }
    metrics::gauge!("waybill_broker_unsettled_messages").set(unacked as f64);
    metrics::gauge!("waybill_broker_bytes").set(bytes as f64);
}

/// A broker without tasks and without a journal, for a simulation that decides every step. Publishing and acknowledging
/// take effect at once. A message is delivered only by [`ManualBroker::deliver`] or [`ManualBroker::take`]; messages
/// expire only in [`ManualBroker::tick`]. Names of exclusive queues are counted, so that the same steps lead to the same
/// state.
#[derive(Debug)]
pub struct ManualBroker {
    shared: Arc<Shared>,
}

impl ManualBroker {
    /// An empty broker. The clock decides when published messages will be due.
    pub fn new(topology: Topology, clock: Arc<dyn Clock>) -> Self {
        Self { shared: Arc::new(Shared::new(topology, clock, DispatchMode::Manual, "run".to_owned())) }
    }

    /// Opens a connection for one participant. Its consumers receive what [`ManualBroker::deliver`] sends them.
    pub fn transport(&self, owner: &str) -> SharedTransport {
        Arc::new(Connection::open(self.shared.clone(), owner))
    }

    /// Every queue, exclusive ones included, with its ready messages, by name.
    pub fn queues(&self) -> Vec<(String, usize)> {
        self.shared.with(|queues| queues.ready(true))
    }

    /// Takes the next deliverable message of a queue.
    pub fn take(&self, queue: &str) -> Option<Delivery> {
        self.take_at(queue, 0)
    }

    /// Takes the `n`th deliverable message of a queue, which is out of order unless `n` is 0.
    pub fn take_at(&self, queue: &str, n: usize) -> Option<Delivery> {
        let now = self.shared.now();
        let delivery = self.shared.with(|queues| queues.get(queue, n, None, now))?;
        Some(self.shared.delivery(delivery))
    }

    /// Sends the `n`th deliverable message of a queue to its next consumer in turn. Returns false if there is no such
    /// message, or no consumer with room for it.
    pub fn deliver(&self, queue: &str, n: usize) -> bool {
        self.shared.with_state(|state| self.send(state, queue, n)).unwrap_or(false)
    }

    /// Moves or drops every message that is past its due time. Returns how many.
    pub fn tick(&self, now: Timestamp) -> usize {
        self.shared.with(|queues| {
            let expiry = queues.stage_expiry(now.unix_ms(), usize::MAX, &mut Changes::default());
            queues.commit_expiry(expiry)
        })
    }

    /// Ends every connection as a crash of the whole process does. Messages of durable queues remain, the unacknowledged
    /// ones back in their places; everything else is lost.
    pub fn crash(&self) {
        self.shared.with_state(State::crash);
    }

    fn send(&self, state: &mut State, queue: &str, n: usize) -> Option<bool> {
        let now = self.shared.now();
        let Some(ExclusiveConsumer::Manual(sender)) = state.exclusive_consumers.get(queue) else {
            let (consumer, delivery) = state.queues.deliver_nth(queue, n, now)?;
            return Some(self.shared.send(state, consumer, delivery));
        };
        match sender.clone().try_reserve() {
            Ok(permit) => {
                permit.send(Delivery::auto_acked(state.queues.pop(queue, n, now)?));
                Some(true)
            }
            Err(TrySendError::Full(())) => None,
            Err(TrySendError::Closed(())) => {
                state.delete_exclusive(queue);
                None
            }
        }
    }
}
