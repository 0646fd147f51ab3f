//! Consuming: one channel per consumer, and a task that forwards its deliveries.

use futures::{FutureExt as _, StreamExt as _};
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{DeliveryTag, FieldTable, ShortString};
use lapin::{Channel, Consumer};
use metrics::Gauge;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::acks::Acks;
use super::channel::bounded;
use super::connection::Connection;
use super::declare::{Declarer, number, text};
use super::properties;
use crate::transport::{Deliveries, Delivery, ExclusiveQueue, TransportError};

/// Messages of an exclusive queue that are read ahead; the rest stay in the queue, within its bound.
const EXCLUSIVE_PREFETCH: u16 = 512;
/// Messages of an exclusive queue that one acknowledgement covers, at the most.
const ACKNOWLEDGED_AT_ONCE: usize = 64;
/// How long declaring a deleted queue again may delay the consumer's end.
const HEAL_LIMIT: Duration = Duration::from_secs(5);

/// A consumer that receives nothing for so long, and has no unacknowledged deliveries, is begun anew: if a quorum queue
/// is deleted and declared again at once, RabbitMQ 3.10 neither cancels its consumers nor delivers to them. A consumer
/// with unacknowledged deliveries may have reached its prefetch and goes on waiting.
const RENEWED_AFTER: Duration = Duration::from_secs(5);

/// An exclusive queue that receives nothing for so long is bound again: RabbitMQ does not report that the exchange was
/// deleted, or deleted and declared again. Together with declaring the exchange this is how long events may stay away.
const BOUND_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// The task that forwards a consumer's deliveries.
struct Forwarding {
    channel: Channel,
    acks: Arc<Acks>,
    consumer: Consumer,
    sender: mpsc::Sender<Delivery>,
    declarer: Arc<Declarer>,
    lost: CancellationToken,
}

/// Begins to consume a shared queue.
pub(super) async fn shared(
    connection: &Connection,
    declarer: &Arc<Declarer>,
    lost: &CancellationToken,
    queue: &str,
    prefetch: u16,
) -> Result<Deliveries, TransportError> {
    let channel = connection.channel().await?;
    let options = BasicConsumeOptions::default();
    let (forwarding, deliveries) = begin(channel, declarer, lost, queue, prefetch.max(1), options).await?;
    tokio::spawn(forwarding.run());
    Ok(deliveries)
}

/// Declares an exclusive queue, binds it and begins to consume it.
pub(super) async fn exclusive(
    connection: &Connection,
    declarer: &Arc<Declarer>,
    lost: &CancellationToken,
    name: &str,
    exchange: &str,
    queue: &ExclusiveQueue,
) -> Result<Deliveries, TransportError> {
    let channel = connection.channel().await?;
    let declaring =
        QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    bounded(channel.queue_declare(name.into(), declaring, arguments(queue))).await?;
    let bindings = Bindings {
        queue: name.into(),
        exchange: exchange.into(),
        keys: queue.event_bindings.iter().map(|key| key.as_str().into()).collect(),
    };
    let consuming = async {
        bindings.bind(&channel).await?;
        let options = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
        begin(channel, declarer, lost, name, EXCLUSIVE_PREFETCH, options).await
    };
    match consuming.await {
        Ok((forwarding, deliveries)) => {
            tokio::spawn(forwarding.run_auto_acked(queue.purpose, bindings));
            Ok(deliveries)
        }
        Err(error) => {
            // The queue would stay for as long as the connection, and the next attempt declares another.
            if let Ok(channel) = connection.channel().await {
                let deleting = channel.queue_delete(name.into(), QueueDeleteOptions::default());
                let (queue, deleted) = (name, bounded(deleting).await);
                tracing::debug!(queue, ?deleted, "an exclusive queue that can't be consumed was deleted");
            }
            Err(error)
        }
    }
}

struct Bindings {
    queue: ShortString,
    exchange: ShortString,
    keys: Vec<ShortString>,
}

impl Bindings {
    async fn bind(&self, channel: &Channel) -> Result<(), TransportError> {
        for key in &self.keys {
            let (queue, exchange, key) = (self.queue.clone(), self.exchange.clone(), key.clone());
            let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
            bounded(channel.queue_bind(queue, exchange, key, options, arguments)).await?;
        }
        Ok(())
    }
}

/// A full queue rejects new replies, and drops the oldest events.
fn arguments(queue: &ExclusiveQueue) -> FieldTable {
    let overflow = if queue.event_bindings.is_empty() { "reject-publish" } else { "drop-head" };
    let mut arguments = FieldTable::default();
    // A virtual host may have another default.
    arguments.insert("x-queue-type".into(), text("classic"));
    arguments.insert("x-max-length".into(), number(u64::from(queue.max_length)));
    arguments.insert("x-overflow".into(), text(overflow));
    arguments
}

async fn begin(
    channel: Channel,
    declarer: &Arc<Declarer>,
    lost: &CancellationToken,
    queue: &str,
    prefetch: u16,
    options: BasicConsumeOptions,
) -> Result<(Forwarding, Deliveries), TransportError> {
    bounded(channel.basic_qos(prefetch, BasicQosOptions::default())).await?;
    let consuming = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default());
    let consumer = bounded(consuming).await?;
    let (sender, deliveries) = mpsc::channel(usize::from(prefetch));
    let forwarding = Forwarding {
        acks: Acks::new(channel.clone()),
        channel,
        consumer,
        sender,
        declarer: Arc::clone(declarer),
        lost: lost.clone(),
    };
    Ok((forwarding, deliveries))
}

/// Why no more deliveries come.
enum Ended {
    /// The receiver was dropped.
    Dropped,
    /// The broker has cancelled the consumer, as it does if the queue is deleted.
    Cancelled,
    /// The channel or the connection was lost.
    Lost,
    /// Nothing was received for [`RENEWED_AFTER`].
    Idle,
}

impl Forwarding {
    /// Forwards deliveries for the receiver to acknowledge.
    async fn run(mut self) {
        let _gauge = ConsumerGauge::new(self.consumer.queue().to_string());
        let ended = loop {
            let received = match tokio::time::timeout(RENEWED_AFTER, self.next()).await {
                Ok(Ok(received)) => received,
                Ok(Err(ended)) => break ended,
                Err(_) if self.acks.has_unacked() => continue,
                Err(_) => break Ended::Idle,
            };
            count_delivery();
            // The channel has as much room as the prefetch.
            if self.sender.send(self.acks.delivery(received)).await.is_err() {
                break Ended::Dropped;
            }
        };
        self.end(ended).await;
    }

    /// Forwards deliveries that need no acknowledgement, and acknowledges each after it was forwarded: without
    /// acknowledgements the broker would send the whole queue, bounded only by this process's memory.
    async fn run_auto_acked(mut self, purpose: &'static str, bindings: Bindings) {
        let _gauge = ConsumerGauge::new(purpose.to_owned());
        let mut unacknowledged = Vec::new();
        let ended = loop {
            let at_once = self.consumer.next().now_or_never().map(received);
            if unacknowledged.len() == ACKNOWLEDGED_AT_ONCE || !matches!(at_once, Some(Ok(_))) {
                self.acknowledge(&mut unacknowledged).await;
            }
            let next = match at_once {
                Some(next) => next,
                None => self.next_or_bind(&bindings).await,
            };
            let received = match next {
                Ok(received) => received,
                Err(ended) => break ended,
            };
            count_delivery();
            unacknowledged.push(received.delivery_tag);
            let message = properties::read(&received.properties, received.data);
            let sending = self.sender.send(Delivery::auto_acked(message));
            match self.lost.run_until_cancelled(sending).await {
                Some(Ok(())) => {}
                Some(Err(_)) => break Ended::Dropped,
                None => break Ended::Lost,
            }
        };
        self.end(ended).await;
    }

    async fn next_or_bind(&mut self, bindings: &Bindings) -> Result<lapin::message::Delivery, Ended> {
        loop {
            if let Ok(next) = tokio::time::timeout(BOUND_AGAIN_AFTER, self.next()).await {
                return next;
            }
            if let Err(error) = bindings.bind(&self.channel).await {
                tracing::warn!(queue = %bindings.queue, %error, "an exclusive queue could not be bound again");
                return Err(Ended::Lost);
            }
        }
    }

    async fn next(&mut self) -> Result<lapin::message::Delivery, Ended> {
        tokio::select! {
            biased;
            () = self.lost.cancelled() => Err(Ended::Lost),
            () = self.sender.closed() => Err(Ended::Dropped),
            next = self.consumer.next() => received(next),
        }
    }

    /// Acknowledges these deliveries, up to the last, by one frame.
    async fn acknowledge(&self, tags: &mut Vec<DeliveryTag>) {
        if let Some(&last) = tags.last() {
            let acknowledging = self.channel.basic_ack(last, BasicAckOptions { multiple: true });
            if let Err(error) = bounded(acknowledging).await {
                tracing::debug!(%error, "deliveries could not be acknowledged");
            }
            tags.clear();
        }
    }

    async fn end(mut self, ended: Ended) {
        match ended {
            Ended::Lost => {}
            Ended::Dropped | Ended::Idle => self.cancel().await,
            Ended::Cancelled => {
                tracing::warn!(queue = %self.consumer.queue(), "the broker has cancelled a consumer");
                let healing = self.declarer.declare_after(Instant::now());
                let healed = tokio::time::timeout(HEAL_LIMIT, healing).await;
                tracing::debug!(?healed, "the topology was declared after a consumer was cancelled");
            }
        }
    }

    /// Cancels the consumer, then forwards the deliveries that the broker has sent in the meantime, or requeues them if the
    /// receiver was dropped. The channel stays open while forwarded deliveries are unacknowledged.
    async fn cancel(&mut self) {
        let cancelling = self.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions::default());
        if let Err(error) = bounded(cancelling).await {
            tracing::debug!(%error, "a consumer could not be cancelled");
            return;
        }
        while let Some(Some(Ok(received))) = self.consumer.next().now_or_never() {
            count_delivery();
            // A delivery that is dropped goes back to its queue.
            drop(self.sender.try_send(self.acks.delivery(received)));
        }
    }
}

fn received(
    next: Option<lapin::Result<lapin::message::Delivery>>,
) -> Result<lapin::message::Delivery, Ended> {
    next.ok_or(Ended::Cancelled)?.map_err(|_| Ended::Lost)
}

fn count_delivery() {
    metrics::counter!("waybill_deliveries_total").increment(1);
}

/// Counts a queue's running consumers. An exclusive queue is counted by its purpose, as its name changes at each connect.
struct ConsumerGauge(Gauge);

impl ConsumerGauge {
    fn new(queue: String) -> Self {
        let consumers = metrics::gauge!("waybill_consumers", "queue" => queue);
        consumers.increment(1.0);
        Self(consumers)
    }
}

impl Drop for ConsumerGauge {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
