//! The end of a process: first it drains (not ready, still serving), then it stops (it begins nothing new and finishes
//! what runs within a bound), and it reports how that ended. A second signal ends it at once.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Readiness;

/// How long running work may take after the process has begun to stop.
pub const GRACE: Duration = Duration::from_secs(25);

/// The two phases of the end, and the tasks that it waits for. Clones share them.
///
/// A process with several services can give each a `Shutdown` of its own and [`stop`](Shutdown::stop) them in an order
/// in which each finishes before the services that it needs.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    draining: CancellationToken,
    stopping: CancellationToken,
    forced: CancellationToken,
    tasks: TaskTracker,
    register: Arc<Mutex<Register>>,
}

#[derive(Debug, Default)]
struct Register {
    next: u64,
    running: BTreeMap<u64, String>,
    failure: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExitStatus {
    Finished,
    /// The grace ran out, or a second signal came, while these tasks were running.
    CutOff(Vec<String>),
    /// A task failed for this reason, and the process cannot run without it.
    Failed(String),
}

impl Shutdown {
    /// Begins at SIGINT or SIGTERM; a second signal cuts off running work.
    pub fn listen_for_signals(&self) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let shutdown = self.clone();
        tokio::spawn(async move {
            for again in [false, true] {
                let name = tokio::select! {
                    _ = interrupt.recv() => "SIGINT",
                    _ = terminate.recv() => "SIGTERM",
                };
                if again {
                    tracing::warn!(signal = name, "second signal, ending at once");
                    shutdown.force();
                } else {
                    tracing::info!(signal = name, "draining; a second signal ends at once");
                    shutdown.begin();
                }
            }
        });
        Ok(())
    }

    /// Starts the first phase.
    pub fn begin(&self) {
        self.draining.cancel();
    }

    /// Cuts off running work.
    pub fn force(&self) {
        self.draining.cancel();
        self.stopping.cancel();
        self.forced.cancel();
    }

    /// Ends the process because a part that it needs failed; the first reason is the one reported.
    pub fn fail(&self, reason: impl std::fmt::Display) {
        self.register().failure.get_or_insert_with(|| reason.to_string());
        self.begin();
    }

    /// Cancelled when the first phase starts: the service tells clients and serves on.
    pub fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// Cancelled when the second phase starts: the service begins nothing new and finishes what runs.
    pub fn stopping(&self) -> &CancellationToken {
        &self.stopping
    }

    /// Cancelled when running work is cut off.
    pub fn forced(&self) -> &CancellationToken {
        &self.forced
    }

    /// Runs a task that the end waits for; the task watches [`stopping`](Shutdown::stopping) itself.
    /// A panic in it ends the process.
    pub fn spawn(&self, name: impl Into<String>, task: impl Future<Output = ()> + Send + 'static) {
        let entry = self.enter(name.into());
        let forced = self.forced.clone();
        self.tasks.spawn(async move {
            let _entry = entry;
            forced.run_until_cancelled(task).await;
        });
    }

    /// Runs both phases: waits for the first to start, drains for `drain_delay`, stops, and logs how that ended.
    pub async fn supervise(&self, readiness: &Readiness, drain_delay: Duration) -> ExitStatus {
        self.draining.cancelled().await;
        readiness.start_draining();
        self.forced.run_until_cancelled(tokio::time::sleep(drain_delay)).await;
        let status = self.stop(GRACE).await;
        match &status {
            ExitStatus::Finished => tracing::info!("process drained, everything finished"),
            ExitStatus::CutOff(tasks) => {
                tracing::warn!(tasks = tasks.join(", "), "process drained, some tasks were cut off")
            }
            ExitStatus::Failed(reason) => tracing::error!(reason, "process ended by a failure"),
        }
        status
    }

    /// Runs the second phase alone: cancels [`stopping`](Shutdown::stopping) and waits for the tasks, for `grace` at most.
    pub async fn stop(&self, grace: Duration) -> ExitStatus {
        self.draining.cancel();
        self.stopping.cancel();
        self.tasks.close();
        let finished = tokio::time::timeout(grace, self.forced.run_until_cancelled(self.tasks.wait())).await;
        let register = self.register();
        match (&register.failure, finished) {
            (Some(reason), _) => ExitStatus::Failed(reason.clone()),
            (None, Ok(Some(()))) => ExitStatus::Finished,
            (None, _) => ExitStatus::CutOff(register.running.values().cloned().collect()),
        }
    }

    fn enter(&self, name: String) -> Entry {
        let mut register = self.register();
        register.next += 1;
        let id = register.next;
        register.running.insert(id, name);
        Entry { shutdown: self.clone(), id }
    }

    fn register(&self) -> MutexGuard<'_, Register> {
        self.register.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running task's entry in the register, removed when the task ends.
struct Entry {
    shutdown: Shutdown,
    id: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut register = self.shutdown.register();
        // The exit status lists the tasks that were cut off.
        if self.shutdown.forced.is_cancelled() {
            return;
        }
        let name = register.running.remove(&self.id);
        drop(register);
        if let (true, Some(name)) = (std::thread::panicking(), name) {
            self.shutdown.fail(format!("{name} panicked"));
        }
    }
}
