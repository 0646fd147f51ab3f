//! Group commit: whatever waits to be written down goes into one transaction.
//!
//! While one transaction is being committed the next batch gathers in the channel, so that batches grow
//! with the load and nobody waits for company.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::message::Message;
use bus::transport::{PublishError, Target};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::journal::{CommitError, Journal};
use crate::queues::{Answers, Changes, DeliveryTag, Expiry, Millis, Publication, Queues};
use crate::shared::Shared;

/// Commands that wait for the writer; beyond that, publishers wait.
pub(crate) const COMMANDS_MAX: usize = 4_096;
/// Commands in one transaction.
const BATCH_MAX: usize = 1_024;
/// Messages moved or dropped by one command, as their time has passed.
const EXPIRY_MAX: usize = 1_000;

/// The pause after a failed transaction. What could not be acknowledged is delivered again, and would fail
/// again at once.
const FAILURE_PAUSE: Duration = Duration::from_millis(100);

/// Something to be written down before it is so.
#[derive(Debug)]
pub(crate) enum Command {
    /// Publish these together.
    Publish { messages: Vec<(Target, Message)>, answer: oneshot::Sender<Answers> },
    /// Acknowledge a delivery.
    Ack { tag: DeliveryTag, done: oneshot::Sender<()> },
    /// Move or drop what is past its time. Answers how many messages that were.
    Expire { now: Millis, done: oneshot::Sender<usize> },
}

/// A command that has been decided and waits for the commit.
enum Staged {
    Publish(Publication, oneshot::Sender<Answers>),
    Ack(DeliveryTag, oneshot::Sender<()>),
    Expire(Expiry, oneshot::Sender<usize>),
}

/// An answer to be given once the lock is released.
enum Answer {
    Published(Answers, oneshot::Sender<Answers>),
    Acked(oneshot::Sender<()>),
    Expired(usize, oneshot::Sender<usize>),
}

/// Writes until it is stopped, when what is waiting is still written, or cut off, when it isn't.
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
    // From here on commands are refused; those that came in between are answered by their senders' loss.
    drop(commands);
    journal.close().await;
}

/// Writes one batch down and answers it. False where it could not be written.
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
        tracing::error!(%error, messages = changes.written.len(), "the broker's file could not be written");
    } else if !changes.is_empty() {
        metrics::histogram!("waybill_broker_commit_seconds").record(began.elapsed());
    }
    let answers: Vec<Answer> = shared.with(|queues| {
        staged.into_iter().map(|staged| conclude(queues, staged, outcome.as_ref().err())).collect()
    });
    // Nobody may be waiting any more.
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
            // Where it is nobody's any more, it is somebody else's: nothing to be done.
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
