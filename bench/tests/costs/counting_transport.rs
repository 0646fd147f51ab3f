//! A transport that counts what is published through it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bus::message::Message;
use bus::topology::Topology;
use bus::transport::{
    Deliveries, ExclusiveQueue, LinkState, PeekedMessages, PublishError, QueueDepth, SharedTransport, Target,
    Transport, TransportError,
};
use tokio::sync::watch;

pub(crate) struct CountingTransport {
    pub(crate) inner: SharedTransport,
    pub(crate) messages: Arc<AtomicU64>,
}

#[async_trait]
impl Transport for CountingTransport {
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
        self.messages.fetch_add(messages.len() as u64, Ordering::Relaxed);
        self.inner.publish(messages, limit).await
    }

    async fn publish_unconfirmed(&self, target: Target, message: Message) -> Result<(), PublishError> {
        self.messages.fetch_add(1, Ordering::Relaxed);
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
