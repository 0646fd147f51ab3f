//! Group commit: all commands that wait are journaled in one transaction.
//!
//! While one transaction is being committed the next batch gathers in the channel, so that batches grow with the load
//! and no command waits for others.
//!
//! After a transaction that failed, a probe finds out whether the file takes writes. Commands wait for the first probe, so
//! that a single failure costs only what it hit. If that fails as well, the disk is full or broken: publications are
//! refused untried, since a publication that is tried and fails in its commit may have happened. Acknowledgements are
//! tried all the same: the worst that comes of a failed one is another delivery.

use std::sync::Arc;
use std::time::Duration;

use bus::transport::PublishError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::journal::{CommitError, Journal};
use crate::queues::{Changes, Millis, Queues};
use crate::state::{Command, JournalState, Shared};

/// Commands that may wait for the writer; if there are more, publishers wait.
pub(crate) const COMMANDS_MAX: usize = 4_096;
/// Commands in one transaction.
const BATCH_MAX: usize = 1_024;
/// Messages moved or dropped by one command.
const EXPIRY_MAX: usize = 1_000;

/// The pause after a failed transaction, before the first probe. A delivery whose acknowledgement failed is delivered
/// again, and would fail again at once.
const FAILURE_PAUSE: Duration = Duration::from_millis(100);

/// How often the journal is probed after a probe that failed.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// Commits or aborts a staged command, under the lock, and returns its answer.
type Staged = Box<dyn FnOnce(&mut Queues, Option<&CommitError>) -> Answer + Send>;

/// Sends an answer, once the lock is released.
type Answer = Box<dyn FnOnce() + Send>;

/// Writes until it is stopped, and then the commands that wait, or until it is cut off, and then nothing more.
pub(crate) async fn run(
    shared: Arc<Shared>,
    mut journal: Journal,
    mut commands: mpsc::Receiver<Command>,
    stop: CancellationToken,
    cut_off: CancellationToken,
) {
    let mut batch = Vec::new();
    // While the last write failed.
    let mut next_probe: Option<Instant> = None;
    let mut unwritable: Option<String> = None;
    loop {
        let count = tokio::select! {
            biased;
            () = cut_off.cancelled() => return,
            // Before the commands: those that are refused would put it off for ever.
            () = tokio::time::sleep_until(next_probe.unwrap_or_else(Instant::now)), if next_probe.is_some() => 0,
            count = commands.recv_many(&mut batch, BATCH_MAX) => if count == 0 { break } else { count },
            () = stop.cancelled() => break,
        };
        let probed = count == 0;
        let outcome = if probed {
            Some(journal.probe().await)
        } else {
            let batch = std::mem::take(&mut batch);
            let batch = match &unwritable {
                Some(reason) => refuse_publications(batch, reason),
                None => batch,
            };
            write(&shared, &mut journal, batch).await
        };
        let Some(outcome) = outcome else { continue };
        let Err(error) = outcome else {
            if unwritable.is_some() {
                tracing::info!("the journal takes writes again");
            }
            (next_probe, unwritable) = (None, None);
            shared.with_state(|state| state.set_journal(JournalState::Written));
            continue;
        };
        let reason = error.to_string();
        if probed {
            if unwritable.is_none() {
                tracing::error!(%error, "the journal takes no writes: messages are refused until it does");
            }
            next_probe = Some(Instant::now() + PROBE_INTERVAL);
            unwritable = Some(reason.clone());
        }
        shared.with_state(|state| {
            state.set_journal(match unwritable {
                Some(_) => JournalState::Unwritable(reason),
                None => JournalState::Failed(reason),
            });
        });
        if !probed {
            tokio::time::sleep(FAILURE_PAUSE).await;
            next_probe.get_or_insert_with(Instant::now);
        }
    }
    // Commands are refused from now on; those still in the channel are answered by their dropped senders.
    drop(commands);
    journal.close().await;
}

/// Answers the publications that waited while the disk was found to take no writes; returns the other commands.
fn refuse_publications(batch: Vec<Command>, reason: &str) -> Vec<Command> {
    let mut others = Vec::new();
    for command in batch {
        match command {
            Command::Publish { messages, answer } => {
                send(answer, vec![Err(PublishError::Blocked(reason.to_owned())); messages.len()])();
            }
            other => others.push(other),
        }
    }
    others
}

/// Journals one batch and answers its commands. Returns how the transaction ended; none if there was nothing to write.
async fn write(
    shared: &Arc<Shared>,
    journal: &mut Journal,
    batch: Vec<Command>,
) -> Option<Result<(), CommitError>> {
    let now = shared.now();
    let (staged, changes) = shared.with(|queues| {
        let mut changes = Changes::default();
        let staged: Vec<Staged> =
            batch.into_iter().map(|command| stage(queues, command, now, &mut changes)).collect();
        (staged, changes)
    });
    let began = Instant::now();
    let outcome = if changes.is_empty() { Ok(()) } else { journal.commit(&changes).await };
    if let Err(error) = &outcome {
        tracing::error!(%error, messages = changes.written.len(), "the journal could not be written");
    } else if !changes.is_empty() {
        metrics::histogram!("waybill_broker_commit_seconds").record(began.elapsed());
    }
    let answers: Vec<Answer> = shared
        .with(|queues| staged.into_iter().map(|staged| staged(queues, outcome.as_ref().err())).collect());
    answers.into_iter().for_each(|answer| answer());
    (!changes.is_empty()).then_some(outcome)
}

fn stage(queues: &mut Queues, command: Command, now: Millis, changes: &mut Changes) -> Staged {
    match command {
        Command::Publish { messages, answer } => {
            let publication = queues.stage_publication(messages, now, changes);
            Box::new(|queues, failure| {
                let error = failure.map(|failure| match failure {
                    CommitError::RolledBack(reason) => PublishError::Blocked(reason.clone()),
                    CommitError::Uncertain(reason) => PublishError::Unknown(reason.clone()),
                });
                match error {
                    None => send(answer, queues.commit_publication(publication)),
                    Some(error) => send(answer, queues.abort_publication(publication, &error)),
                }
            })
        }
        Command::Ack { tag, done } => {
            // A delivery that is no longer unacknowledged was requeued: its message belongs to another delivery.
            queues.stage_ack(tag, changes);
            Box::new(move |queues, failure| {
                if failure.is_none() {
                    queues.commit_ack(tag)
                } else {
                    queues.put_back(tag)
                }
                send(done, ())
            })
        }
        Command::Expire { now, done } => {
            let expiry = queues.stage_expiry(now, EXPIRY_MAX, changes);
            Box::new(|queues, failure| match failure {
                None => send(done, queues.commit_expiry(expiry)),
                Some(_) => {
                    queues.abort_expiry(expiry);
                    send(done, 0)
                }
            })
        }
    }
}

fn send<T: Send + 'static>(sender: oneshot::Sender<T>, value: T) -> Answer {
    Box::new(|| {
        // The receiver may have been dropped.
        sender.send(value).ok();
    })
}
