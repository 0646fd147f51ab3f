//! Brokers and messages for the tests.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bus::clock::SystemClock;
use bus::message::Message;
use bus::topology::{RetryDelays, Topology, WorkQueue};
use bus::transport::{Deliveries, Delivery, SharedTransport, Target};
use embedded_broker::{EmbeddedBroker, Storage};

/// How long a test waits for any one event.
pub(crate) const WAIT_LIMIT: Duration = Duration::from_secs(30);

/// The one delay before a retry.
pub(crate) const DELAY: Duration = Duration::from_millis(200);

pub(crate) fn topology() -> Topology {
    Topology::new("t", RetryDelays(vec![DELAY]))
}

pub(crate) fn work() -> String {
    topology().work(WorkQueue::OrderCommands)
}

pub(crate) fn file(directory: &Path) -> Storage {
    Storage::File(directory.join("broker.sqlite"))
}

pub(crate) async fn open(storage: Storage) -> EmbeddedBroker {
    EmbeddedBroker::open(storage, topology(), Arc::new(SystemClock)).await.unwrap()
}

pub(crate) fn message(name: &str) -> Message {
    Message { body: name.to_owned().into(), persistent: true, ..Message::default() }
}

pub(crate) fn name(message: &Message) -> String {
    String::from_utf8(message.body.to_vec()).unwrap()
}

pub(crate) async fn send(transport: &SharedTransport, queue: &str, names: &[&str]) {
    let messages = names.iter().map(|name| (Target::Queue(queue.to_owned()), message(name))).collect();
    for answer in transport.publish(messages, WAIT_LIMIT).await {
        answer.unwrap();
    }
}

pub(crate) async fn next(deliveries: &mut Deliveries) -> Delivery {
    tokio::time::timeout(WAIT_LIMIT, deliveries.recv())
        .await
        .expect("a delivery comes in time")
        .expect("the consumer is open")
}

/// Returns the names of a queue's ready messages, which stay in the queue.
pub(crate) async fn ready_in(transport: &SharedTransport, queue: &str) -> Vec<String> {
    let peeked = transport.peek(queue, 100_000).await.unwrap();
    peeked.iter().map(|delivery| name(&delivery.message)).collect()
}
