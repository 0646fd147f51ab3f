//! Consuming durable commands and events, in batches, at least once.

use async_trait::async_trait;
use futures::FutureExt as _;
use futures::future::join_all;
use serde_json::value::RawValue;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::backoff::{Backoff, shortened};
use crate::clock::Clock;
use crate::envelope::Envelope;
use crate::failure::{Failure, FailureCode};
use crate::heartbeat::{Heartbeat, WorkBeat};
use crate::message::{BODY_MAX_BYTES, Message, header};
use crate::rpc_server::reply_message;
use crate::topology::WorkQueue;
use crate::trace;
use crate::transport::{Deliveries, Delivery, PublishError, SharedTransport, Target};

/// A message that the broker has delivered so often is handled alone: it may be what kills its consumers.
const ALONE_AFTER_DELIVERIES: u32 = 3;
/// Batches that one consumer handles at the same time: while one waits for other services or for a commit, the next can
/// begin. More would only make the batches smaller.
const BATCHES_IN_FLIGHT: u32 = 3;
/// The pauses before jobs are retried in place, or a message is forwarded again.
const RETRY_IN_PLACE: Backoff = Backoff { first: Duration::from_millis(50), limit: Duration::from_secs(2) };
/// How long publishing a message to its retry or dead-letter queue may take before it is tried again.
const FORWARD_LIMIT: Duration = Duration::from_secs(10);

/// A command or event to handle.
#[derive(Debug, Clone)]
pub struct Job {
    /// The pattern and the data, undecoded.
    pub envelope: Envelope,
    /// The message that it was read from.
    pub message: Message,
}

/// A handler's decision about one job.
#[derive(Debug)]
pub enum Disposition {
    /// The effect is committed. The response is sent if the sender awaits a reply.
    Done(Option<Box<RawValue>>),
    /// The job failed and may succeed later: it is retried after a delay, and an attempt is counted.
    Retry(Failure),
    /// The job can never succeed: it is dead-lettered.
    Dead(Failure),
    /// The handler's own database is unavailable: the job stays unacknowledged and is retried here, and no attempt is
    /// counted.
    RetryInPlace(Failure),
}

/// Handles jobs in batches.
#[async_trait]
pub trait MessageHandler: Send + Sync + 'static {
    /// Returns one disposition for each job, in the same order. Idempotent: every job may be delivered again.
    async fn handle(&self, batch: &[Job]) -> Vec<Disposition>;
}

/// Consumes one work queue.
pub struct Consumer {
    /// The transport of jobs and replies.
    pub transport: SharedTransport,
    /// The queue to consume.
    pub queue: WorkQueue,
    /// The handler.
    pub handler: Arc<dyn MessageHandler>,
    /// Deliveries that may be unacknowledged at the same time.
    pub prefetch: u16,
    /// The most jobs in one batch: those that are delivered already, without waiting for more.
    pub batch_max: usize,
    /// The clock for the time in dead letters.
    pub clock: Arc<dyn Clock>,
    /// Beats while the consumer waits or retries in place, but is silent if a handler does not return.
    pub heartbeat: Heartbeat,
}

impl Consumer {
    /// Consumes until `stop`; then requeues jobs that were not begun, completes the others, and returns. Up to
    /// [`BATCHES_IN_FLIGHT`] batches are handled at the same time: what arrives while they all are is the next one. Failed
    /// jobs are forwarded to their retry or dead-letter queue within the prefetch, so that a broker that blocks publishing
    /// does not keep other jobs from being acknowledged.
    pub async fn run(self, stop: CancellationToken) {
        let this = Arc::new(self);
        let queue = this.transport.topology().work(this.queue);
        let slots = Arc::new(Semaphore::new(BATCHES_IN_FLIGHT as usize));
        let batches = TaskTracker::new();
        while !stop.is_cancelled() {
            this.heartbeat.beat();
            match this.transport.consume(&queue, this.prefetch).await {
                Ok(mut deliveries) => {
                    while let Some((batch, slot)) = this.next_batch(&mut deliveries, &slots, &stop).await {
                        let (this, stop) = (Arc::clone(&this), stop.clone());
                        let work = this.heartbeat.begin_work();
                        batches.spawn(async move { this.process_in(slot, work, batch, &stop).await });
                    }
                }
                Err(error) => {
                    tracing::debug!(%queue, %error, "jobs can't be consumed yet");
                    stop.run_until_cancelled(tokio::time::sleep(error.pause())).await;
                }
            }
        }
        batches.close();
        batches.wait().await;
    }

    /// Waits for a slot, then for deliveries: those that wait by then are the batch. With a delivery that is to be handled
    /// alone, it has all slots, so that no other batch is in flight. Nothing if the consumer ends or stops.
    async fn next_batch(
        &self,
        deliveries: &mut Deliveries,
        slots: &Arc<Semaphore>,
        stop: &CancellationToken,
    ) -> Option<(Vec<Delivery>, OwnedSemaphorePermit)> {
        // Work that is stuck is silent itself.
        let acquire = |count| self.heartbeat.while_waiting(Arc::clone(slots).acquire_many_owned(count));
        let mut slot = stop.run_until_cancelled(acquire(1)).await?.ok()?;
        let mut batch = Vec::new();
        let taking = self.heartbeat.while_waiting(deliveries.recv_many(&mut batch, self.batch_max));
        let taken = stop.run_until_cancelled(taking).await?;
        if batch.iter().any(is_handled_alone) {
            slot.merge(stop.run_until_cancelled(acquire(BATCHES_IN_FLIGHT - 1)).await?.ok()?);
        }
        (taken > 0).then_some((batch, slot))
    }

    /// Handles a batch and applies every disposition. A job that was delivered suspiciously often is handled alone.
    pub async fn process(&self, batch: Vec<Delivery>, stop: &CancellationToken) {
        let slots = Arc::new(Semaphore::new(1));
        let slot = slots.acquire_owned().await.expect("it is never closed");
        self.process_in(slot, self.heartbeat.begin_work(), batch, stop).await;
    }

    /// Handles a batch within `slot`, which is free for the next one while the last dispositions are applied.
    async fn process_in(
        &self,
        slot: OwnedSemaphorePermit,
        work: WorkBeat,
        batch: Vec<Delivery>,
        stop: &CancellationToken,
    ) {
        let (alone, together): (Vec<_>, Vec<_>) = batch.into_iter().partition(is_handled_alone);
        let handled = self.handle_together(together, &work, stop).await;
        if alone.is_empty() {
            drop((slot, work));
            return self.apply_all(handled, stop).await;
        }
        self.apply_all(handled, stop).await;
        for delivery in alone {
            work.beat();
            let handled = self.handle_together(vec![delivery], &work, stop).await;
            self.apply_all(handled, stop).await;
        }
    }

    /// Reads and handles jobs in one call of the handler. Returns them with their dispositions.
    async fn handle_together(
        &self,
        batch: Vec<Delivery>,
        work: &WorkBeat,
        stop: &CancellationToken,
    ) -> Vec<(Delivery, Disposition)> {
        let mut handled = Vec::with_capacity(batch.len());
        let mut deliveries = Vec::with_capacity(batch.len());
        let mut jobs = Vec::with_capacity(batch.len());
        for mut delivery in batch {
            trace::begin_if_none(&mut delivery.message.headers);
            match read(&delivery.message) {
                Ok(envelope) => {
                    jobs.push(Job { envelope, message: delivery.message.clone() });
                    deliveries.push(delivery);
                }
                Err(failure) => handled.push((delivery, Disposition::Dead(failure))),
            }
        }
        let dispositions = self.dispositions(&jobs, work, stop).await;
        handled.extend(deliveries.into_iter().zip(dispositions));
        handled
    }

    /// Returns the handler's dispositions, none of them `RetryInPlace` unless stopped.
    async fn dispositions(
        &self,
        jobs: &[Job],
        work: &WorkBeat,
        stop: &CancellationToken,
    ) -> Vec<Disposition> {
        let Some(first) = jobs.first() else { return Vec::new() };
        let span = trace::consumer_span("process", &first.envelope.pattern, &first.message);
        let mut dispositions = self.handle(jobs, work).instrument(span).await;
        let mut failures = 0;
        loop {
            let failed: Vec<usize> = (0..jobs.len())
                .filter(|&index| matches!(dispositions[index], Disposition::RetryInPlace(_)))
                .collect();
            let Some(Disposition::RetryInPlace(failure)) = failed.first().map(|&index| &dispositions[index])
            else {
                break;
            };
            tracing::warn!(%failure, jobs = failed.len(), "jobs are retried in place");
            failures += 1;
            let pause = RETRY_IN_PLACE.seeded_pause(failures, &first.message.message_id);
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                break;
            }
            work.beat();
            let again: Vec<Job> = failed.iter().map(|&index| jobs[index].clone()).collect();
            for (index, disposition) in failed.into_iter().zip(self.handle(&again, work).await) {
                dispositions[index] = disposition;
            }
        }
        dispositions
    }

    /// Runs the handler. If it panics, each job of the batch is handled alone, so that only the bad one fails.
    async fn handle(&self, jobs: &[Job], work: &WorkBeat) -> Vec<Disposition> {
        match AssertUnwindSafe(self.handler.handle(jobs)).catch_unwind().await {
            Ok(dispositions) if dispositions.len() == jobs.len() => dispositions,
            _ if jobs.len() == 1 => {
                vec![Disposition::Retry(Failure::new(FailureCode::Internal, "the handler panicked"))]
            }
            _ => {
                let mut dispositions = Vec::with_capacity(jobs.len());
                for job in jobs {
                    work.beat();
                    dispositions.extend(Box::pin(self.handle(std::slice::from_ref(job), work)).await);
                }
                dispositions
            }
        }
    }

    /// Applies dispositions: first all replies of the jobs that are done, whose senders wait, then their acknowledgements
    /// together, and the others on their own.
    async fn apply_all(&self, handled: Vec<(Delivery, Disposition)>, stop: &CancellationToken) {
        let (mut done, mut replies, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for (delivery, disposition) in handled {
            match disposition {
                Disposition::Done(answer) => {
                    let result = Ok(answer.unwrap_or_else(|| RawValue::NULL.to_owned()));
                    replies.extend(reply_message(&delivery.message, &result));
                    done.push(delivery);
                }
                other => others.push(self.apply(delivery, other, stop)),
            }
        }
        let acknowledging = async {
            join_all(replies.into_iter().map(|(target, message)| self.send_reply(target, message))).await;
            join_all(done.into_iter().map(Delivery::ack)).await;
        };
        tokio::join!(acknowledging, join_all(others));
    }

    async fn apply(&self, delivery: Delivery, disposition: Disposition, stop: &CancellationToken) {
        match disposition {
            Disposition::Done(_) => delivery.ack().await,
            Disposition::Retry(failure) => match self.retry_delay(&delivery.message) {
                Some(delay) => {
                    tracing::warn!(code = failure.code.as_str(), %failure, ?delay, "a job failed and will be retried");
                    let mut message = self.failed_once_more(&delivery.message);
                    // The delay is the queue's own bound; messages of one delay should not all come back at once.
                    let seed = (&message.message_id, message.failed_attempts());
                    message.expiration = Some(shortened(delay, 200, seed));
                    let target = Target::Queue(self.transport.topology().retry(self.queue, delay));
                    self.forward(delivery, target, message, stop).await;
                }
                None => self.dead_letter(delivery, failure, stop).await,
            },
            Disposition::Dead(failure) => self.dead_letter(delivery, failure, stop).await,
            Disposition::RetryInPlace(_) => delivery.requeue().await,
        }
    }

    async fn reply(&self, request: &Message, result: &Result<Box<RawValue>, Failure>) {
        if let Some((target, message)) = reply_message(request, result) {
            self.send_reply(target, message).await;
        }
    }

    async fn send_reply(&self, target: Target, message: Message) {
        if let Err(error) = self.transport.publish_unconfirmed(target, message).await {
            tracing::debug!(%error, "a reply could not be sent");
        }
    }

    /// Returns the delay before the next attempt; nothing if no attempt is left.
    fn retry_delay(&self, message: &Message) -> Option<Duration> {
        let failed = message.failed_attempts() as usize;
        self.transport.topology().retry_delays.0.get(failed).copied()
    }

    /// Returns the message to forward after one more attempt has failed.
    fn failed_once_more(&self, message: &Message) -> Message {
        let mut failed = Message { persistent: true, expiration: None, ..message.clone() };
        failed.set_header(header::ATTEMPT, (i64::from(message.failed_attempts()) + 1).into());
        failed.set_header(header::ORIGIN_QUEUE, self.transport.topology().work(self.queue).into());
        failed
    }

    async fn dead_letter(&self, delivery: Delivery, failure: Failure, stop: &CancellationToken) {
        tracing::error!(
            code = failure.code.as_str(),
            %failure,
            message_id = delivery.message.message_id,
            "a job is dead-lettered"
        );
        let topology = self.transport.topology();
        let (queue, code) = (topology.dead(self.queue), failure.code.as_str());
        metrics::counter!("waybill_dead_letters_total", "queue" => queue, "code" => code).increment(1);
        let mut message = self.failed_once_more(&delivery.message);
        message.set_header(header::FAILURE_CODE, failure.code.as_str().into());
        message.set_header(header::FAILURE_MESSAGE, failure.message.clone().into());
        message.set_header(header::FAILED_AT, self.clock.now().to_string().into());
        let target = Target::DeadLetter(topology.dead(self.queue));
        self.reply(&delivery.message, &Err(failure)).await;
        self.forward(delivery, target, message, stop).await;
    }

    /// Publishes the message with confirmation, then acknowledges the delivery: in between the message exists twice, so it
    /// can't be lost.
    async fn forward(&self, delivery: Delivery, target: Target, message: Message, stop: &CancellationToken) {
        let mut failures = 0;
        loop {
            let publishing = self.transport.publish_one(target.clone(), message.clone(), FORWARD_LIMIT);
            let Err(error) = publishing.await else { return delivery.ack().await };
            tracing::warn!(%error, ?target, "a message could not be forwarded yet");
            failures += 1;
            let pause = RETRY_IN_PLACE.seeded_pause(failures, &message.message_id);
            let stopped = stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none();
            if stopped || error == PublishError::Disconnected {
                return delivery.requeue().await;
            }
        }
    }
}

/// Whether a delivery was suspiciously often the last that its consumer got.
fn is_handled_alone(delivery: &Delivery) -> bool {
    delivery.delivery_count >= ALONE_AFTER_DELIVERIES
}

/// Reads the envelope of a message that is not longer than [`BODY_MAX_BYTES`].
fn read(message: &Message) -> Result<Envelope, Failure> {
    let bytes = message.body.len();
    if bytes > BODY_MAX_BYTES {
        let text = format!("the body has {bytes} bytes, at most {BODY_MAX_BYTES} are allowed");
        return Err(Failure::new(FailureCode::BadRequest, text));
    }
    Envelope::read(&message.body)
}
