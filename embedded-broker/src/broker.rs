//! The broker as `waybill up` runs it.

use std::path::PathBuf;
use std::sync::Arc;

use bus::clock::Clock;
use bus::topology::{QueueSpec, Topology};
use bus::transport::SharedTransport;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::connection::Connection;
use crate::journal::{Journal, OpenError};
use crate::queues::QueueName;
use crate::shared::{Drive, Shared};
use crate::writer::COMMANDS_MAX;
use crate::{timer, writer};

/// Where durable queues are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// In this file, created where there is none. One broker has it at a time.
    File(PathBuf),
    /// In memory, gone with the broker.
    Memory,
}

/// A running broker.
///
/// Dropped without [`EmbeddedBroker::close`] it ends as in a crash, a moment later: what was confirmed is
/// kept, and what was in somebody's hands counts as delivered.
#[derive(Debug)]
pub struct EmbeddedBroker {
    shared: Arc<Shared>,
    stop: CancellationToken,
    cut_off: CancellationToken,
    tasks: TaskTracker,
}

impl EmbeddedBroker {
    /// Opens the store, takes in the messages that are in it, and runs. Needs a tokio runtime.
    ///
    /// # Errors
    /// Where the file is in use, written by a newer version, or unreadable.
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
        let shared = Arc::new(Shared::new(topology, clock, Drive::Running(commands), run_id));
        let unknown = shared
            .with(|queues| stored.into_iter().map(|row| queues.restore(row)).filter(|known| !known).count());
        if unknown > 0 {
            tracing::warn!(
                messages = unknown,
                "messages of queues that are no longer declared are kept, undelivered"
            );
        }
        let (stop, cut_off) = (CancellationToken::new(), CancellationToken::new());
        let tasks = TaskTracker::new();
        tasks.spawn(writer::run(shared.clone(), journal, waiting, stop.clone(), cut_off.clone()));
        tasks.spawn(timer::run(shared.clone(), stop.clone()));
        tasks.close();
        Ok(Self { shared, stop, cut_off, tasks })
    }

    /// A connection for one participant, `<process>.<instance>`: its exclusive queues and what it holds
    /// unsettled end with it, when it is closed or dropped.
    pub fn transport(&self, owner: &str) -> SharedTransport {
        Arc::new(Connection::open(self.shared.clone(), owner))
    }

    /// Ends every connection, writes down what waits for it, and closes the store.
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

/// The queues that somebody takes work from, as opposed to those where messages wait or lie.
fn consumed(topology: &Topology) -> Vec<QueueName> {
    let takes_work = |queue: &QueueSpec| queue.dead_letter.is_some() && queue.message_ttl.is_none();
    topology.queues().into_iter().filter(takes_work).map(|queue| queue.name.into()).collect()
}
