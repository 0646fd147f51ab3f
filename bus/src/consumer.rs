//! Durable work: commands and events, taken in batches, at least once.

use async_trait::async_trait;
use futures::FutureExt as _;
use serde_json::value::RawValue;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::clock::Clock;
use crate::envelope::Envelope;
use crate::failure::{Failure, FailureCode};
use crate::heartbeat::Heartbeat;
use crate::message::{BODY_MAX_BYTES, Message, header};
use crate::rpc_server::reply_message;
use crate::topology::WorkQueue;
use crate::trace;
use crate::transport::{Delivery, PublishError, SharedTransport, Target};

/// A message that the broker has delivered so often runs alone: it may be what kills its consumers.
const ALONE_AFTER_DELIVERIES: u32 = 3;
/// The pause before a batch that had to be held is tried again; doubles up to the limit.
const HOLD_FIRST: Duration = Duration::from_millis(50);
const HOLD_LIMIT: Duration = Duration::from_secs(2);
/// How long forwarding a message to its retry or dead-letter queue may take before it is tried again.
const FORWARD_LIMIT: Duration = Duration::from_secs(10);

/// A command or event, as its handler gets it.
#[derive(Debug, Clone)]
pub struct Job {
    /// What is to be done, or what happened, with its data undecoded.
    pub envelope: Envelope,
    /// The message it came in: its id, type and headers.
    pub message: Message,
}

/// What a handler says of one piece of work.
#[derive(Debug)]
pub enum Disposition {
    /// Its effect is committed. Whoever waits for an answer gets this one.
    Done(Option<Box<RawValue>>),
    /// It failed, and may succeed later: an attempt is counted.
    Retry(Failure),
    /// It can't ever succeed.
    Dead(Failure),
    /// What it takes is away (the handler's own database): held unacknowledged and tried again,
    /// counting nothing.
    RetryInPlace(Failure),
}

/// Does work in batches. A plain function of messages: what it needs, it has.
#[async_trait]
pub trait MessageHandler: Send + Sync + 'static {
    /// One disposition for each piece of work, in the same order. Idempotent: all of it may come again.
    async fn handle(&self, batch: &[Job]) -> Vec<Disposition>;
}

/// Takes work from one queue until stopped.
pub struct Consumer {
    /// Where work comes from and replies go.
    pub transport: SharedTransport,
    /// Which work.
    pub queue: WorkQueue,
    /// Who does it.
    pub handler: Arc<dyn MessageHandler>,
    /// Messages delivered and unsettled at any time.
    pub prefetch: u16,
    /// Messages in one batch: whatever is waiting, up to this bound, without waiting for more.
    pub batch_max: usize,
    /// For the time in dead letters.
    pub clock: Arc<dyn Clock>,
    /// Beats while work is awaited or held, and between batches: a handler that never returns is silent.
    pub heartbeat: Heartbeat,
}

impl Consumer {
    /// Works until `stop`; then hands back what was not begun, finishes what was, and returns.
    ///
    /// What is to be tried again or set aside waits for the broker beside the work, as part of the prefetch: a broker
    /// that takes nothing for now doesn't keep the rest from being acknowledged.
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
                            for (delivery, failed) in this.work_off(batch, &stop).await {
                                let (this, stop) = (Arc::clone(&this), stop.clone());
                                forwarding.spawn(async move { this.settle(delivery, failed, &stop).await });
                            }
                        }
                    }
                },
                Err(error) => {
                    tracing::debug!(%queue, %error, "cannot consume yet");
                    stop.run_until_cancelled(tokio::time::sleep(error.pause())).await;
                }
            }
        }
        forwarding.close();
        forwarding.wait().await;
    }

    /// Brings each delivery to its end. What was delivered suspiciously often runs alone.
    pub async fn process(&self, batch: Vec<Delivery>, stop: &CancellationToken) {
        let failed = self.work_off(batch, stop).await;
        let settling =
            failed.into_iter().map(|(delivery, disposition)| self.settle(delivery, disposition, stop));
        futures::future::join_all(settling).await;
    }

    /// Does the work, and settles all of it but what failed.
    async fn work_off(&self, batch: Vec<Delivery>, stop: &CancellationToken) -> Vec<(Delivery, Disposition)> {
        let (alone, together): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|delivery| delivery.delivery_count >= ALONE_AFTER_DELIVERIES);
        let mut failed = Vec::new();
        if !together.is_empty() {
            failed.extend(self.work_off_together(together, stop).await);
        }
        for delivery in alone {
            self.heartbeat.beat();
            failed.extend(self.work_off_together(vec![delivery], stop).await);
        }
        failed
    }

    async fn work_off_together(
        &self,
        batch: Vec<Delivery>,
        stop: &CancellationToken,
    ) -> Vec<(Delivery, Disposition)> {
        let mut failed = Vec::new();
        let mut deliveries = Vec::with_capacity(batch.len());
        let mut works = Vec::with_capacity(batch.len());
        for mut delivery in batch {
            trace::begin_if_none(&mut delivery.message.headers);
            match read(&delivery.message) {
                Ok(envelope) => {
                    works.push(Job { envelope, message: delivery.message.clone() });
                    deliveries.push(delivery);
                }
                Err(failure) => failed.push((delivery, Disposition::Dead(failure))),
            }
        }
        let dispositions = self.dispositions(&works, stop).await;
        let mut settling = Vec::new();
        for (delivery, disposition) in deliveries.into_iter().zip(dispositions) {
            match disposition {
                Disposition::Done(_) | Disposition::RetryInPlace(_) => {
                    settling.push(self.settle(delivery, disposition, stop))
                }
                Disposition::Retry(_) | Disposition::Dead(_) => failed.push((delivery, disposition)),
            }
        }
        futures::future::join_all(settling).await;
        failed
    }

    /// The handler's dispositions, none of them `Hold` unless stopped.
    async fn dispositions(&self, works: &[Job], stop: &CancellationToken) -> Vec<Disposition> {
        let Some(first) = works.first() else { return Vec::new() };
        let span = trace::consumer_span("process", &first.envelope.pattern, &first.message);
        let mut dispositions = self.handle(works).instrument(span).await;
        let mut pause = HOLD_FIRST;
        loop {
            let held: Vec<usize> = (0..works.len())
                .filter(|&index| matches!(dispositions[index], Disposition::RetryInPlace(_)))
                .collect();
            let Some(Disposition::RetryInPlace(failure)) = held.first().map(|&index| &dispositions[index])
            else {
                break;
            };
            tracing::warn!(%failure, held = held.len(), "work is held until what it takes is back");
            if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                break;
            }
            self.heartbeat.beat();
            pause = (pause * 2).min(HOLD_LIMIT);
            let again: Vec<Job> = held.iter().map(|&index| works[index].clone()).collect();
            for (index, disposition) in held.into_iter().zip(self.handle(&again).await) {
                dispositions[index] = disposition;
            }
        }
        dispositions
    }

    /// Where a batch makes the handler panic, each piece runs alone and only the bad one fails.
    async fn handle(&self, works: &[Job]) -> Vec<Disposition> {
        let handled = AssertUnwindSafe(self.handler.handle(works)).catch_unwind().await;
        match handled {
            Ok(dispositions) if dispositions.len() == works.len() => dispositions,
            _ if works.len() == 1 => {
                vec![Disposition::Retry(Failure::new(FailureCode::Internal, "the handler panicked"))]
            }
            _ => {
                let mut dispositions = Vec::with_capacity(works.len());
                for work in works {
                    self.heartbeat.beat();
                    dispositions.extend(Box::pin(self.handle(std::slice::from_ref(work))).await);
                }
                dispositions
            }
        }
    }

    async fn settle(&self, delivery: Delivery, disposition: Disposition, stop: &CancellationToken) {
        match disposition {
            Disposition::Done(answer) => {
                let result = Ok(answer.unwrap_or_else(|| RawValue::NULL.to_owned()));
                self.reply(&delivery.message, &result).await;
                delivery.ack().await;
            }
            Disposition::Retry(failure) => match self.retry_delay(&delivery.message) {
                Some(delay) => {
                    tracing::warn!(code = failure.code.as_str(), %failure, ?delay, "work failed and is tried again");
                    let message = self.retried(&delivery.message, delay);
                    let target = Target::Queue(self.transport.topology().retry(self.queue, delay));
                    self.forward(delivery, target, message, stop).await;
                }
                None => self.bury(delivery, failure, stop).await,
            },
            Disposition::Dead(failure) => self.bury(delivery, failure, stop).await,
            Disposition::RetryInPlace(_) => delivery.requeue().await,
        }
    }

    async fn reply(&self, request: &Message, result: &Result<Box<RawValue>, Failure>) {
        if let Some((target, message)) = reply_message(request, result)
            && let Err(error) = self.transport.publish_unconfirmed(target, message).await
        {
            tracing::debug!(%error, "an answer could not be sent");
        }
    }

    /// The delay before the next attempt; nothing where none is left.
    fn retry_delay(&self, message: &Message) -> Option<Duration> {
        let failed = message.failed_attempts() as usize;
        self.transport.topology().retry_delays.0.get(failed).copied()
    }

    fn retried(&self, message: &Message, delay: Duration) -> Message {
        let mut retried = message.clone();
        retried.persistent = true;
        retried.set_header(header::ATTEMPT, (i64::from(message.failed_attempts()) + 1).into());
        retried.set_header(header::ORIGIN_QUEUE, self.transport.topology().work(self.queue).into());
        retried.expiration = Some(jittered(delay, &retried));
        retried
    }

    async fn bury(&self, delivery: Delivery, failure: Failure, stop: &CancellationToken) {
        tracing::error!(
            code = failure.code.as_str(),
            %failure,
            message_id = delivery.message.message_id,
            "work is dead-lettered"
        );
        let topology = self.transport.topology();
        let (queue, code) = (topology.dead(self.queue), failure.code.as_str());
        metrics::counter!("waybill_dead_letters_total", "queue" => queue, "code" => code).increment(1);
        let mut message = delivery.message.clone();
        message.persistent = true;
        message.expiration = None;
        message.set_header(header::ATTEMPT, (i64::from(message.failed_attempts()) + 1).into());
        message.set_header(header::FAILURE_CODE, failure.code.as_str().into());
        message.set_header(header::FAILURE_MESSAGE, failure.message.clone().into());
        message.set_header(header::ORIGIN_QUEUE, topology.work(self.queue).into());
        message.set_header(header::FAILED_AT, self.clock.now().to_string().into());
        let target = Target::DeadLetter(topology.dead(self.queue));
        self.reply(&delivery.message, &Err(failure)).await;
        self.forward(delivery, target, message, stop).await;
    }

    /// Publishes with confirmation, then acknowledges: in between it exists twice, never not at all.
    async fn forward(&self, delivery: Delivery, target: Target, message: Message, stop: &CancellationToken) {
        let mut pause = HOLD_FIRST;
        loop {
            let published =
                self.transport.publish(vec![(target.clone(), message.clone())], FORWARD_LIMIT).await;
            let error = match published.into_iter().next() {
                Some(Ok(())) => return delivery.ack().await,
                Some(Err(error)) => error,
                None => PublishError::Disconnected,
            };
            tracing::warn!(%error, ?target, "a message could not be forwarded yet");
            let stopped = stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none();
            if stopped || error == PublishError::Disconnected {
                return delivery.requeue().await;
            }
            pause = (pause * 2).min(HOLD_LIMIT);
        }
    }
}

/// The envelope of a message. One that is longer than any of ours is not looked into.
fn read(message: &Message) -> Result<Envelope, Failure> {
    let bytes = message.body.len();
    if bytes > BODY_MAX_BYTES {
        let text = format!("its body has {bytes} bytes, {BODY_MAX_BYTES} are the most");
        return Err(Failure::new(FailureCode::BadRequest, text));
    }
    Envelope::read(&message.body)
}

/// Between four fifths of the delay and all of it, which is the queue's own bound: messages of one delay class
/// should not all come back at once. Drawn from the message, so that a simulation can repeat it.
fn jittered(delay: Duration, message: &Message) -> Duration {
    let mut hasher = DefaultHasher::new();
    (&message.message_id, message.failed_attempts()).hash(&mut hasher);
    let thousandths = 800 + u32::try_from(hasher.finish() % 200).expect("less than 200");
    delay * thousandths / 1000
}
