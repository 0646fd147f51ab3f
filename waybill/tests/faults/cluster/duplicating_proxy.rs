//! Publishes every message twice more, later and out of order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use lapin::message::Delivery;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer};
use testkit::{RabbitMq, eventually};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The exchange to which RabbitMQ's tracing publishes every message.
const FIREHOSE: &str = "amq.rabbitmq.trace";
/// Marks a copy, so that it isn't copied again.
const MARK: &str = "x-repeated";
/// Copies of each message.
const COPIES: u64 = 2;

/// What was duplicated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Duplicated {
    /// Messages that were published by others, and found a queue.
    pub(crate) messages: u64,
    /// Copies that the broker took, and found a queue. A late copy of a reply may find none.
    pub(crate) copies: u64,
}

/// A copy is due before the firehose reports it.
#[derive(Default)]
struct Counts {
    messages: AtomicU64,
    copies: AtomicU64,
    reported: AtomicU64,
    due: AtomicU64,
    ended: AtomicBool,
}

/// Sends every message of a broker twice more, until dropped.
pub(crate) struct DuplicatingProxy {
    counts: Arc<Counts>,
    _connection: Connection,
    _repeating: JoinSet<()>,
}

impl DuplicatingProxy {
    /// Duplicates what is published from now on, each copy up to `latest` later.
    pub(crate) async fn start(broker: &RabbitMq, latest: Duration) -> Result<Self> {
        broker.ctl(&["trace_on"]).await?;
        let connection = Connection::connect(&broker.url(), ConnectionProperties::default()).await?;
        let (tracing, sending) = (connection.create_channel().await?, connection.create_channel().await?);
        let own = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        let queue = tracing.queue_declare("".into(), own, FieldTable::default()).await?.name().clone();
        let (binding, none) = (QueueBindOptions::default(), FieldTable::default());
        tracing.queue_bind(queue.clone(), FIREHOSE.into(), "publish.#".into(), binding, none).await?;
        let settled = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let published = tracing.basic_consume(queue, "".into(), settled, FieldTable::default()).await?;
        sending.confirm_select(ConfirmSelectOptions::default()).await?;
        let counts = Arc::<Counts>::default();
        let mut repeating = JoinSet::new();
        repeating.spawn(repeat(published, sending, latest, Arc::clone(&counts)));
        Ok(Self { counts, _connection: connection, _repeating: repeating })
    }

    /// Stops duplicating, and waits until every copy has arrived.
    pub(crate) async fn end(&self) -> Duplicated {
        self.counts.ended.store(true, Ordering::Release);
        eventually("every copy has arrived", async || {
            let read = |count: &AtomicU64| count.load(Ordering::Acquire);
            let Counts { messages, copies, reported, due, .. } = &*self.counts;
            let outstanding = read(due) - read(reported);
            anyhow::ensure!(outstanding == 0, "{outstanding} are to come");
            anyhow::Ok(Duplicated { messages: read(messages), copies: read(copies) })
        })
        .await
    }
}

async fn repeat(mut published: Consumer, sending: Channel, latest: Duration, counts: Arc<Counts>) {
    let mut copying = JoinSet::new();
    while let Some(Ok(trace)) = published.next().await {
        let Some(message) = TracedMessage::read(&trace).expect("the firehose reports messages") else {
            continue;
        };
        if message.is_copy {
            counts.reported.fetch_add(1, Ordering::AcqRel);
            counts.copies.fetch_add(u64::from(message.found_queue), Ordering::AcqRel);
            continue;
        }
        if counts.ended.load(Ordering::Acquire) {
            continue;
        }
        counts.messages.fetch_add(u64::from(message.found_queue), Ordering::AcqRel);
        counts.due.fetch_add(COPIES, Ordering::AcqRel);
        for _ in 0..COPIES {
            copying.spawn(
                message.clone().send_later(sending.clone(), latest.mul_f64(rand::random_range(0.0..1.0))),
            );
        }
        while copying.try_join_next().is_some() {}
    }
}

/// A message as the firehose reports it.
#[derive(Clone)]
struct TracedMessage {
    exchange: ShortString,
    routing_key: ShortString,
    properties: BasicProperties,
    body: Vec<u8>,
    is_copy: bool,
    found_queue: bool,
}

impl TracedMessage {
    /// Returns nothing for a message of the broker's own.
    fn read(trace: &Delivery) -> Result<Option<Self>> {
        let about = trace.properties.headers().as_ref().context("headers")?.inner();
        let exchange = about.get("exchange_name").and_then(text).context("exchange_name")?;
        let list = |name: &str| match about.get(name) {
            Some(AMQPValue::FieldArray(values)) => values.as_slice().iter().filter_map(text).collect(),
            _ => Vec::new(),
        };
        let Some(routing_key) = list("routing_keys").into_iter().next() else { return Ok(None) };
        let Some(AMQPValue::FieldTable(properties)) = about.get("properties") else { return Ok(None) };
        let is_copy = matches!(
            properties.inner().get("headers"),
            Some(AMQPValue::FieldTable(headers)) if headers.inner().contains_key(MARK)
        );
        Ok(Some(Self {
            exchange,
            routing_key,
            properties: marked(properties),
            body: trace.data.clone(),
            is_copy,
            found_queue: !list("routed_queues").is_empty(),
        }))
    }

    async fn send_later(self, channel: Channel, delay: Duration) {
        sleep(delay).await;
        let Self { exchange, routing_key, properties, body, .. } = self;
        let options = BasicPublishOptions::default();
        let sent = channel.basic_publish(exchange, routing_key, options, &body, properties).await;
        sent.expect("a copy is sent").await.expect("a copy is taken");
    }
}

/// A message's reported properties, and the mark.
fn marked(reported: &FieldTable) -> BasicProperties {
    let mut properties = BasicProperties::default();
    let mut headers = FieldTable::default();
    for (name, value) in reported.inner() {
        if let ("headers", AMQPValue::FieldTable(table)) = (name.as_str(), value) {
            headers = table.clone();
            continue;
        }
        properties = match (name.as_str(), number(value), text(value)) {
            ("delivery_mode", Some(mode), _) => {
                properties.with_delivery_mode(mode.try_into().expect("1 or 2"))
            }
            ("timestamp", Some(at), _) => properties.with_timestamp(at),
            ("content_type", _, Some(text)) => properties.with_content_type(text),
            ("message_id", _, Some(text)) => properties.with_message_id(text),
            ("correlation_id", _, Some(text)) => properties.with_correlation_id(text),
            ("reply_to", _, Some(text)) => properties.with_reply_to(text),
            ("expiration", _, Some(text)) => properties.with_expiration(text),
            ("type", _, Some(text)) => properties.with_type(text),
            _ => panic!("a property that isn't duplicated: {name} {value:?}"),
        };
    }
    headers.insert(MARK.into(), AMQPValue::Boolean(true));
    properties.with_headers(headers)
}

/// The firehose has one kind of number.
fn number(value: &AMQPValue) -> Option<u64> {
    match *value {
        AMQPValue::ShortShortInt(number) => number.try_into().ok(),
        AMQPValue::ShortShortUInt(number) => Some(number.into()),
        AMQPValue::LongInt(number) => number.try_into().ok(),
        AMQPValue::LongLongInt(number) => number.try_into().ok(),
        AMQPValue::Timestamp(number) => Some(number),
        _ => None,
    }
}

fn text(value: &AMQPValue) -> Option<ShortString> {
    match value {
        AMQPValue::LongString(text) => ShortString::try_new(String::from_utf8_lossy(text.as_bytes())).ok(),
        AMQPValue::ShortString(text) => Some(text.clone()),
        _ => None,
    }
}
