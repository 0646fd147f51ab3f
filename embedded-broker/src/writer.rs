//! Group commit: all commands that wait are journaled in one transaction.
//!
//! While one transaction is being committed the next batch gathers in the channel, so that batches grow with the load
//! and no command waits for others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::transport::PublishError;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::journal::{CommitError, Journal};
use crate::queues::{Answers, Changes, DeliveryTag, Expiry, Millis, Publication, Queues};
use crate::state::{Command, Shared};

/// Commands that may wait for the writer; if there are more, publishers wait.
pub(crate) const COMMANDS_MAX: usize = 4_096;
/// Commands in one transaction.
const BATCH_MAX: usize = 1_024;
/// Messages moved or dropped by one command.
const EXPIRY_MAX: usize = 1_000;

/// The pause after a failed transaction. A delivery whose acknowledgement failed is delivered again, and would fail
/// again at once.
const FAILURE_PAUSE: Duration = Duration::from_millis(100);

/// A command that is staged and waits for the commit.
enum Staged {
    Publish(Publication, oneshot::Sender<Answers>),
    Ack(DeliveryTag, oneshot::Sender<()>),
    Expire(Expiry, oneshot::Sender<usize>),
}

/// An answer to be sent once the lock is released.
enum Answer {
    Published(Answers, oneshot::Sender<Answers>),
    Acked(oneshot::Sender<()>),
    Expired(usize, oneshot::Sender<usize>),
}

/// Writes until it is stopped, and then the commands that wait, or until it is cut off, and then nothing more.
pub(crate) async fn run(
    shared: Arc<Shared>,
    mut journal: Journal,
    mut commands: mpsc::Receiver<Command>,
    stop: CancellationToken,
    cut_off: CancellationToken,
) {
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            biased;
            () = cut_off.cancelled() => return,
            count = commands.recv_many(&mut batch, BATCH_MAX) => if count == 0 { break },
            () = stop.cancelled() => break,
        }
        if !write(&shared, &mut journal, std::mem::take(&mut batch)).await {
            tokio::time::sleep(FAILURE_PAUSE).await;
        }
    }
    // Commands are refused from now on; those still in the channel are answered by their dropped senders.
    drop(commands);
    journal.close().await;
}

/// Journals one batch and answers its commands. Returns false if the transaction failed.
async fn write(shared: &Arc<Shared>, journal: &mut Journal, batch: Vec<Command>) -> bool {
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
    let answers: Vec<Answer> = shared.with(|queues| {
        staged.into_iter().map(|staged| conclude(queues, staged, outcome.as_ref().err())).collect()
    });
    // A receiver may have been dropped.
    for answer in answers {
        match answer {
            Answer::Published(results, sender) => drop(sender.send(results)),
            Answer::Acked(sender) => drop(sender.send(())),
            Answer::Expired(count, sender) => drop(sender.send(count)),
        }
    }
    outcome.is_ok()
}

fn stage(queues: &mut Queues, command: Command, now: Millis, changes: &mut Changes) -> Staged {
    match command {
        Command::Publish { messages, answer } => {
            Staged::Publish(queues.stage_publication(messages, now, changes), answer)
        }
        Command::Ack { tag, done } => {
            // A delivery that is no longer unacknowledged was requeued: its message belongs to another delivery.
            queues.stage_ack(tag, changes);
            Staged::Ack(tag, done)
        }
        Command::Expire { now, done } => Staged::Expire(queues.stage_expiry(now, EXPIRY_MAX, changes), done),
    }
}

fn conclude(queues: &mut Queues, staged: Staged, error: Option<&CommitError>) -> Answer {
    match staged {
        Staged::Publish(publication, sender) => {
            let results = match error {
                None => queues.commit_publication(publication),
                Some(error) => queues.abort_publication(publication, &publish_error(error)),
            };
            Answer::Published(results, sender)
        }
        Staged::Ack(tag, sender) => {
            match error {
                None => queues.commit_ack(tag),
                Some(_) => queues.abort_ack(tag),
            }
            Answer::Acked(sender)
        }
        Staged::Expire(expiry, sender) => {
            let count = expiry.len();
            match error {
                None => queues.commit_expiry(expiry),
                Some(_) => queues.abort_expiry(expiry),
            }
            Answer::Expired(if error.is_none() { count } else { 0 }, sender)
        }
    }
}

fn publish_error(error: &CommitError) -> PublishError {
    match error {
        CommitError::RolledBack(reason) => PublishError::Blocked(reason.clone()),
        CommitError::Uncertain(reason) => PublishError::Unknown(reason.clone()),
    }
}
