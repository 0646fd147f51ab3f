//! Helpers of the rules.

use schema::order_events::OrderEvent;
use std::collections::BTreeSet;
pub(super) use testkit::WAIT_LIMIT;
use testkit::eventually;

use super::Broker;
use crate::envelope;
use crate::message::Message;
use crate::topology::WorkQueue;
use crate::transport::{Deliveries, Delivery, PublishError, SharedTransport, Target};

/// The work queue of most rules.
pub(super) const QUEUE: WorkQueue = WorkQueue::OrderCommands;

pub(super) fn work_queue(transport: &SharedTransport) -> String {
    transport.topology().work(QUEUE)
}

/// Opens a connection, and returns it with the name of [`QUEUE`].
pub(super) async fn connect(broker: &dyn Broker, owner: &str) -> (SharedTransport, String) {
    let transport = broker.transport(owner).await;
    let queue = work_queue(&transport);
    (transport, queue)
}

/// A durable command with this message id.
pub(super) fn named(name: impl AsRef<str>) -> Message {
    let name = name.as_ref();
    let data = serde_json::value::to_raw_value(name).unwrap();
    Message {
        body: envelope::write("order.create", &data, None),
        message_id: Some(name.to_owned()),
        kind: Some("order.create".to_owned()),
        persistent: true,
        ..Message::default()
    }
}

pub(super) fn name(message: &Message) -> String {
    message.message_id.clone().unwrap_or_default()
}

pub(super) fn names(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("m{index:04}")).collect()
}

/// Publishes to a queue and returns each result.
pub(super) async fn try_publish(
    transport: &SharedTransport,
    queue: &str,
    messages: Vec<Message>,
) -> Vec<Result<(), PublishError>> {
    let messages = messages.into_iter().map(|message| (Target::Queue(queue.to_owned()), message)).collect();
    transport.publish(messages, WAIT_LIMIT).await
}

/// Publishes to a queue, and expects each message to be confirmed.
pub(super) async fn publish(transport: &SharedTransport, queue: &str, messages: Vec<Message>) {
    for published in try_publish(transport, queue, messages).await {
        published.unwrap();
    }
}

pub(super) async fn consume(transport: &SharedTransport, queue: &str, prefetch: u16) -> Deliveries {
    transport.consume(queue, prefetch).await.unwrap()
}

pub(super) async fn next(deliveries: &mut Deliveries) -> Delivery {
    in_time("a delivery", deliveries.recv()).await.expect("the consumer lives")
}

/// Receives and acknowledges so many deliveries, and returns their names.
pub(super) async fn ack_next(deliveries: &mut Deliveries, count: usize) -> Vec<String> {
    let mut names = Vec::new();
    for _ in 0..count {
        let delivery = next(deliveries).await;
        names.push(name(&delivery.message));
        delivery.ack().await;
    }
    names
}

pub(super) async fn until_ready(transport: &SharedTransport, queue: &str, ready: u64) {
    eventually(&format!("{ready} messages are ready in {queue}"), async || {
        let depth = transport.depth(queue).await.unwrap().unwrap();
        if depth.ready == ready { Ok(()) } else { Err(depth) }
    })
    .await;
}

/// Returns the names of the ready messages of a queue, in order. They stay in the queue.
pub(super) async fn ready_in(transport: &SharedTransport, queue: &str) -> Vec<String> {
    let peeked = transport.peek(queue, 1_000).await.unwrap();
    let names = peeked.iter().map(|delivery| name(&delivery.message)).collect();
    for delivery in peeked {
        delivery.requeue().await;
    }
    names
}

pub(super) fn set<T: Ord>(items: impl IntoIterator<Item = T>) -> BTreeSet<T> {
    items.into_iter().collect()
}

/// An order's first event.
pub(super) fn order_event(position: i64) -> OrderEvent {
    let sample = include_str!("../../../schema/messages/order.created.json");
    OrderEvent { position, ..serde_json::from_str(sample).unwrap() }
}

/// Waits for a future, at most [`WAIT_LIMIT`].
pub(super) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(WAIT_LIMIT, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {WAIT_LIMIT:?} for {what}"),
    }
}
