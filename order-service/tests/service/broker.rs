//! A broker whose confirmations a test can take away.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bus::clock::Clock;
use bus::events::read_event;
use bus::message::Message;
use bus::topology::{RetryDelays, Topology, WorkQueue};
use bus::transport::{
    Deliveries, ExclusiveQueue, LinkState, PeekedMessages, PublishError, QueueDepth, SharedTransport, Target,
    Transport, TransportError,
};
use embedded_broker::ManualBroker;
use schema::order_events::OrderEvent;
use tokio::sync::watch;

pub(crate) struct Broker {
    manual: ManualBroker,
    /// For the next publishes: how many of each are confirmed.
    confirmed: Arc<Mutex<VecDeque<usize>>>,
}

impl Broker {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let topology = Topology::new("test", RetryDelays::default());
        Self { manual: ManualBroker::new(topology, clock), confirmed: Arc::default() }
    }

    pub(crate) fn transport(&self, owner: &str) -> SharedTransport {
        Arc::new(Flaky { inner: self.manual.transport(owner), confirmed: self.confirmed.clone() })
    }

    /// Of the next publish only so many messages are confirmed, though all arrive.
    pub(crate) fn confirm_only(&self, count: usize) {
        self.confirmed.lock().unwrap().push_back(count);
    }

    /// What inventory-service finds in its queue, with each message's id.
    pub(crate) async fn arrived(&self) -> Vec<(String, OrderEvent)> {
        let messages = self.messages().await.into_iter();
        messages.map(|message| (message.message_id.clone().unwrap(), read_event(&message).unwrap())).collect()
    }

    pub(crate) async fn messages(&self) -> Vec<Message> {
        let topology = Topology::new("test", RetryDelays::default());
        let queue = topology.work(WorkQueue::InventoryOrderEvents);
        let mut messages = Vec::new();
        while let Some(delivery) = self.manual.take(&queue) {
            messages.push(delivery.message.clone());
            delivery.ack().await;
        }
        messages
    }
}

struct Flaky {
    inner: SharedTransport,
    confirmed: Arc<Mutex<VecDeque<usize>>>,
}

#[async_trait]
impl Transport for Flaky {
    fn topology(&self) -> &Topology {
        self.inner.topology()
    }

    fn owner(&self) -> &str {
        self.inner.owner()
    }

    fn link_state(&self) -> watch::Receiver<LinkState> {
        self.inner.link_state()
    }

    async fn publish(
        &self,
        messages: Vec<(Target, Message)>,
        limit: Duration,
    ) -> Vec<Result<(), PublishError>> {
        let mut results = self.inner.publish(messages, limit).await;
        if let Some(count) = self.confirmed.lock().unwrap().pop_front() {
            let lost = || Err(PublishError::Unknown("the connection broke".to_owned()));
            // One of them goes unconfirmed, those behind it don't.
            results.iter_mut().skip(count).take(1).for_each(|result| *result = lost());
        }
        results
    }

    async fn publish_unconfirmed(&self, target: Target, message: Message) -> Result<(), PublishError> {
        self.inner.publish_unconfirmed(target, message).await
    }

    async fn consume(&self, queue: &str, prefetch: u16) -> Result<Deliveries, TransportError> {
        self.inner.consume(queue, prefetch).await
    }

    async fn consume_exclusive(&self, queue: ExclusiveQueue) -> Result<(String, Deliveries), TransportError> {
        self.inner.consume_exclusive(queue).await
    }

    async fn peek(&self, queue: &str, limit: u32) -> Result<PeekedMessages, TransportError> {
        self.inner.peek(queue, limit).await
    }

    async fn depth(&self, queue: &str) -> Result<Option<QueueDepth>, TransportError> {
        self.inner.depth(queue).await
    }

    async fn declare(&self) -> Result<(), TransportError> {
        self.inner.declare().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
