//! Consuming durable commands and events, in batches, at least once.

use async_trait::async_trait;
use futures::FutureExt as _;
use serde_json::value::RawValue;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::backoff::{Backoff, shortened};
use crate::clock::Clock;
use crate::envelope::Envelope;
use crate::failure::{Failure, FailureCode};
use crate::heartbeat::Heartbeat;
use crate::message::{BODY_MAX_BYTES, Message, header};
use crate::rpc_server::reply_message;
use crate::topology::WorkQueue;
use crate::trace;
use crate::transport::{Delivery, PublishError, SharedTransport, Target};

/// A message that the broker has delivered so often is handled alone: it may be what kills its consumers.
const ALONE_AFTER_DELIVERIES: u32 = 3;
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
    /// Beats while the consumer waits or retries in place, and between batches, but not while a handler runs.
    pub heartbeat: Heartbeat,
}

impl Consumer {
    /// Consumes until `stop`; then requeues jobs that were not begun, completes the others, and returns. Failed jobs are
    /// forwarded to their retry or dead-letter queue in tasks of their own, within the prefetch, so that a broker that
    /// blocks publishing does not keep other jobs from being acknowledged.
    pub async fn run(self, stop: CancellationToken) {
        let this = Arc::new(self);
        let queue = this.transport.topology().work(this.queue);
        let forwarding = TaskTracker::new();
        while !stop.is_cancelled() {
            this.heartbeat.beat();
            match this.transport.consume(&queue, this.prefetch).await {
                Ok(mut deliveries) => loop {
                    let mut batch = Vec::new();
                    let taking =
                        this.heartbeat.while_waiting(deliveries.recv_many(&mut batch, this.batch_max));
                    match stop.run_until_cancelled(taking).await {
                        Some(0) | None => break,
                        Some(_) => {
                            for (delivery, failed) in this.handle_batch(batch, &stop).await {
                                let (this, stop) = (Arc::clone(&this), stop.clone());
                                forwarding.spawn(async move { this.apply(delivery, failed, &stop).await });
                            }
                        }
                    }
                },
                Err(error) => {
                    tracing::debug!(%queue, %error, "jobs can't be consumed yet");
                    stop.run_until_cancelled(tokio::time::sleep(error.pause())).await;
                }
            }
        }
        forwarding.close();
        forwarding.wait().await;
    }

    /// Handles a batch and applies every disposition. A job that was delivered suspiciously often is handled alone.
    pub async fn process(&self, batch: Vec<Delivery>, stop: &CancellationToken) {
        let failed = self.handle_batch(batch, stop).await.into_iter();
        let applying = failed.map(|(delivery, disposition)| self.apply(delivery, disposition, stop));
        futures::future::join_all(applying).await;
    }

    /// Handles a batch and applies the dispositions of jobs that did not fail. Returns the failed ones.
    async fn handle_batch(
        &self,
        batch: Vec<Delivery>,
        stop: &CancellationToken,
    ) -> Vec<(Delivery, Disposition)> {
        let (alone, together): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|delivery| delivery.delivery_count >= ALONE_AFTER_DELIVERIES);
        let mut failed = self.handle_together(together, stop).await;
        for delivery in alone {
            self.heartbeat.beat();
            failed.extend(self.handle_together(vec![delivery], stop).await);
        }
        failed
    }

    async fn handle_together(
        &self,
        batch: Vec<Delivery>,
        stop: &CancellationToken,
    ) -> Vec<(Delivery, Disposition)> {
        let mut failed = Vec::new();
        let mut deliveries = Vec::with_capacity(batch.len());
        let mut jobs = Vec::with_capacity(batch.len());
        for mut delivery in batch {
            trace::begin_if_none(&mut delivery.message.headers);
            match read(&delivery.message) {
                Ok(envelope) => {
                    jobs.push(Job { envelope, message: delivery.message.clone() });
                    deliveries.push(delivery);
                }
                Err(failure) => failed.push((delivery, Disposition::Dead(failure))),
            }
        }
        let dispositions = self.dispositions(&jobs, stop).await;
        let mut applying = Vec::new();
        for (delivery, disposition) in deliveries.into_iter().zip(dispositions) {
            match disposition {
                Disposition::Done(_) | Disposition::RetryInPlace(_) => {
                    applying.push(self.apply(delivery, disposition, stop))
                }
                Disposition::Retry(_) | Disposition::Dead(_) => failed.push((delivery, disposition)),
            }
        }
        futures::future::join_all(applying).await;
        failed
    }

    /// Returns the handler's dispositions, none of them `RetryInPlace` unless stopped.
    async fn dispositions(&self, jobs: &[Job], stop: &CancellationToken) -> Vec<Disposition> {
        let Some(first) = jobs.first() else { return Vec::new() };
        let span = trace::consumer_span("process", &first.envelope.pattern, &first.message);
        let mut dispositions = self.handle(jobs).instrument(span).await;
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
            self.heartbeat.beat();
            let again: Vec<Job> = failed.iter().map(|&index| jobs[index].clone()).collect();
            for (index, disposition) in failed.into_iter().zip(self.handle(&again).await) {
                dispositions[index] = disposition;
            }
        }
        dispositions
    }

    /// Runs the handler. If it panics, each job of the batch is handled alone, so that only the bad one fails.
    async fn handle(&self, jobs: &[Job]) -> Vec<Disposition> {
        match AssertUnwindSafe(self.handler.handle(jobs)).catch_unwind().await {
            Ok(dispositions) if dispositions.len() == jobs.len() => dispositions,
            _ if jobs.len() == 1 => {
                vec![Disposition::Retry(Failure::new(FailureCode::Internal, "the handler panicked"))]
            }
            _ => {
                let mut dispositions = Vec::with_capacity(jobs.len());
                for job in jobs {
                    self.heartbeat.beat();
                    dispositions.extend(Box::pin(self.handle(std::slice::from_ref(job))).await);
                }
                dispositions
            }
        }
    }

    async fn apply(&self, delivery: Delivery, disposition: Disposition, stop: &CancellationToken) {
        match disposition {
            Disposition::Done(answer) => {
                let result = Ok(answer.unwrap_or_else(|| RawValue::NULL.to_owned()));
                self.reply(&delivery.message, &result).await;
                delivery.ack().await;
            }
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
        if let Some((target, message)) = reply_message(request, result)
            && let Err(error) = self.transport.publish_unconfirmed(target, message).await
        {
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

/// Reads the envelope of a message that is not longer than [`BODY_MAX_BYTES`].
fn read(message: &Message) -> Result<Envelope, Failure> {
    let bytes = message.body.len();
    if bytes > BODY_MAX_BYTES {
        let text = format!("the body has {bytes} bytes, at most {BODY_MAX_BYTES} are allowed");
        return Err(Failure::new(FailureCode::BadRequest, text));
    }
    Envelope::read(&message.body)
}
