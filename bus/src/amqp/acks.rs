//! Acknowledging a channel's deliveries, over the channel that they came over. Those that are acknowledged at the same time
//! travel in as few frames as possible: the broker writes each frame to a quorum queue's log.

use async_trait::async_trait;
use futures::FutureExt as _;
use futures::future::join_all;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use lapin::types::DeliveryTag;
use lapin::{Acker, Channel};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

use super::properties;
use crate::transport::{Acknowledge, Acknowledgement, Delivery};

/// How long writing acknowledgements may take.
const ACK_LIMIT: Duration = Duration::from_secs(5);
/// Acknowledgements that are written together.
const BATCH: usize = 1_024;
const REQUEUE: BasicNackOptions = BasicNackOptions { requeue: true, multiple: false };

/// The deliveries of one channel that are neither acknowledged nor requeued. lapin closes a channel without owners, so each
/// delivery keeps its channel open.
#[derive(Debug)]
pub(super) struct Acks {
    outstanding: Arc<Outstanding>,
    requests: mpsc::Sender<Request>,
}

/// The tags of unacknowledged deliveries. A tag leaves no sooner than its frame is handed to lapin, or is about to be in
/// one frame with all tags before it.
#[derive(Debug, Default)]
struct Outstanding(Mutex<BTreeSet<DeliveryTag>>);

#[derive(Debug)]
struct Request {
    tag: DeliveryTag,
    written: oneshot::Sender<bool>,
}

impl Acks {
    /// Returns the acknowledgements of a channel, and runs the task that writes them for as long as there is a delivery or
    /// an owner.
    pub(super) fn new(channel: Channel) -> Arc<Self> {
        let (requests, waiting) = mpsc::channel(BATCH);
        let outstanding = Arc::<Outstanding>::default();
        tokio::spawn(write(channel, Arc::clone(&outstanding), waiting));
        Arc::new(Self { outstanding, requests })
    }

    /// Whether deliveries are unacknowledged.
    pub(super) fn has_unacked(&self) -> bool {
        !self.outstanding.tags().is_empty()
    }

    /// Converts lapin's delivery into one of the contract.
    pub(super) fn delivery(self: &Arc<Self>, received: lapin::message::Delivery) -> Delivery {
        let count = properties::delivery_count(&received.properties, received.redelivered);
        let message = properties::read(&received.properties, received.data);
        let tag = received.delivery_tag;
        self.outstanding.tags().insert(tag);
        let acker = DeliveryAcker { tag, acker: received.acker, acks: Arc::clone(self), is_settled: false };
        Delivery::new(message, count, Box::new(acker))
    }
}

impl Outstanding {
    fn tags(&self) -> MutexGuard<'_, BTreeSet<DeliveryTag>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes these tags out, in ascending order. Returns how many of them come before every tag that stays: one frame
    /// acknowledges those.
    fn take(&self, tags: &[DeliveryTag]) -> usize {
        let mut outstanding = self.tags();
        for tag in tags {
            outstanding.remove(tag);
        }
        let first = outstanding.first().copied();
        tags.iter().take_while(|&&tag| first.is_none_or(|first| tag < first)).count()
    }
}

/// Writes acknowledgements as they come: those that wait meanwhile are the next batch.
async fn write(channel: Channel, outstanding: Arc<Outstanding>, mut waiting: mpsc::Receiver<Request>) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, BATCH).await > 0 {
        batch.sort_by_key(|request| request.tag);
        let tags: Vec<DeliveryTag> = batch.iter().map(|request| request.tag).collect();
        let prefix = outstanding.take(&tags);
        let multiple = tags[..prefix].last().map(|&last| (last, BasicAckOptions { multiple: prefix > 1 }));
        let single = tags[prefix..].iter().map(|&tag| (tag, BasicAckOptions::default()));
        let frames = multiple.into_iter().chain(single).map(|(tag, options)| channel.basic_ack(tag, options));
        let written = tokio::time::timeout(ACK_LIMIT, join_all(frames)).await;
        let written = written.is_ok_and(|frames| frames.iter().all(Result::is_ok));
        for request in batch.drain(..) {
            // Its owner may have stopped waiting.
            let _ = request.written.send(written);
        }
    }
}

/// Acknowledges one delivery.
#[derive(Debug)]
struct DeliveryAcker {
    tag: DeliveryTag,
    acker: Acker,
    acks: Arc<Acks>,
    /// Whether an acknowledgement is on its way, or the delivery was requeued.
    is_settled: bool,
}

impl DeliveryAcker {
    async fn ack(&mut self) -> bool {
        let (written, answer) = oneshot::channel();
        let Ok(permit) = self.acks.requests.reserve().await else { return false };
        self.is_settled = true;
        permit.send(Request { tag: self.tag, written });
        answer.await.unwrap_or(false)
    }

    /// The first poll hands the request over to lapin, which completes it by itself.
    fn requeue(&mut self) -> impl Future<Output = lapin::Result<bool>> + use<'_> {
        self.is_settled = true;
        let mut requeuing = Box::pin(self.acker.nack(REQUEUE));
        let polled = (&mut requeuing).now_or_never();
        self.acks.outstanding.tags().remove(&self.tag);
        async move {
            match polled {
                Some(done) => done,
                None => requeuing.await,
            }
        }
    }
}

#[async_trait]
impl Acknowledge for DeliveryAcker {
    async fn acknowledge(mut self: Box<Self>, acknowledgement: Acknowledgement) {
        let acknowledging = async {
            match acknowledgement {
                Acknowledgement::Ack => self.ack().await,
                Acknowledgement::Requeue => self.requeue().await.unwrap_or(false),
            }
        };
        let outcome = match (tokio::time::timeout(ACK_LIMIT, acknowledging).await, acknowledgement) {
            (Ok(true), Acknowledgement::Ack) => "acked",
            (Ok(true), Acknowledgement::Requeue) => "requeued",
            _ => {
                tracing::debug!(
                    ?acknowledgement,
                    "a delivery could not be acknowledged and will be redelivered"
                );
                "lost"
            }
        };
        metrics::counter!("waybill_settled_total", "outcome" => outcome).increment(1);
    }
}

impl Drop for DeliveryAcker {
    fn drop(&mut self) {
        if !self.is_settled && self.acker.usable() {
            drop(self.requeue());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_frame_acknowledges_what_comes_before_every_other_delivery() {
        for (unacked, acked, prefix) in [
            (&[1, 2, 3][..], &[1, 2, 3][..], 3),
            (&[1, 2, 3], &[1, 2], 2),
            (&[1, 2, 3], &[2, 3], 0),
            (&[1, 2, 3, 4, 5], &[1, 2, 4, 5], 2),
            (&[4, 7, 9], &[4, 9], 1),
        ] {
            let outstanding = Outstanding(Mutex::new(unacked.iter().copied().collect()));
            assert_eq!(outstanding.take(acked), prefix, "{acked:?} of {unacked:?}");
            assert_eq!(outstanding.tags().len(), unacked.len() - acked.len());
        }
    }
}
