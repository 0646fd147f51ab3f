use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus::message::Message;
use bus::topology::Topology;
use bus::transport::{
    Deliveries, ExclusiveQueue, LinkState, PeekedMessages, PublishError, QueueDepth, SharedTransport, Target,
    Transport, TransportError,
};
use tokio::sync::watch;

use super::{Safeguard, is_disabled};

/// The transport, which may have to do without confirms.
pub(crate) fn unconfirmed(transport: SharedTransport) -> SharedTransport {
    if is_disabled(Safeguard::Confirms) { Arc::new(Unconfirmed(transport)) } else { transport }
}

/// Says that everything is published as soon as it is handed over, whatever becomes of it.
struct Unconfirmed(SharedTransport);

#[async_trait]
impl Transport for Unconfirmed {
    async fn publish(
        &self,
        messages: Vec<(Target, Message)>,
        limit: Duration,
    ) -> Vec<Result<(), PublishError>> {
        let (transport, handed_over) = (Arc::clone(&self.0), messages.len());
        tokio::spawn(async move { transport.publish(messages, limit).await });
        vec![Ok(()); handed_over]
    }

    fn topology(&self) -> &Topology {
        self.0.topology()
    }

    fn owner(&self) -> &str {
        self.0.owner()
    }

    fn link_state(&self) -> watch::Receiver<LinkState> {
        self.0.link_state()
    }

    async fn publish_unconfirmed(&self, target: Target, message: Message) -> Result<(), PublishError> {
        self.0.publish_unconfirmed(target, message).await
    }

    async fn consume(&self, queue: &str, prefetch: u16) -> Result<Deliveries, TransportError> {
        self.0.consume(queue, prefetch).await
    }

    async fn consume_exclusive(&self, queue: ExclusiveQueue) -> Result<(String, Deliveries), TransportError> {
        self.0.consume_exclusive(queue).await
    }

    async fn peek(&self, queue: &str, limit: u32) -> Result<PeekedMessages, TransportError> {
        self.0.peek(queue, limit).await
    }

    async fn depth(&self, queue: &str) -> Result<Option<QueueDepth>, TransportError> {
        self.0.depth(queue).await
    }

    async fn declare(&self) -> Result<(), TransportError> {
        self.0.declare().await
    }

    async fn close(&self) {
        self.0.close().await;
    }
}
