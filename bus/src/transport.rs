//! The transport contract: what a broker does for its clients. Every implementation passes the conformance suite.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use crate::message::Message;
use crate::topology::Topology;

/// Where a message is published.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// To the queue of this name, shared or exclusive, through the default exchange.
    Queue(String),
    /// To the queues that are bound for this routing key on the events exchange.
    Events {
        /// As returned by [`schema::order_events::routing_key`].
        routing_key: String,
    },
    /// To the dead-letter queue of this name, through the dead-letter exchange. Such a message may be longer than others,
    /// so that an oversized message of another client can be dead-lettered.
    DeadLetter(String),
}

/// Why a message was not (or may not have been) published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// There is no connection, or it was lost before the message was written. The message was not published.
    #[error("no connection to the broker")]
    Disconnected,
    /// The broker blocks publishers (memory or disk alarm). The message was not published.
    #[error("the broker has blocked publishing: {0}")]
    Blocked(String),
    /// Too many messages await their confirmation already. The message was not published.
    #[error("too many messages await confirmation")]
    WindowFull,
    /// The broker refused the message because its queue is full. The message was not published.
    #[error("the broker refused the message: the queue is full")]
    Nacked,
    /// No queue takes the message. The message was not published.
    #[error("no queue takes the message")]
    Unroutable,
    /// The message is larger than the transport accepts. The message was not published.
    #[error("the message is larger than {0} bytes")]
    TooLarge(usize),
    /// The message may have been published: the connection was lost, or time ran out, before its confirmation came.
    #[error("the message may or may not have been published: {0}")]
    Unknown(String),
}

impl PublishError {
    /// Whether it is certain that the message was not published.
    pub fn is_certain(&self) -> bool {
        !matches!(self, Self::Unknown(_))
    }
}

/// Why an operation other than publishing failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// There is no connection; the transport is connecting.
    #[error("no connection to the broker")]
    Disconnected,
    /// The broker refuses the operation until arguments or permissions are changed.
    #[error("the broker refuses: {0}")]
    Refused(String),
    /// The broker did not answer in time, or the connection was lost.
    #[error("the broker did not answer: {0}")]
    Failed(String),
}

impl TransportError {
    /// How long to wait before consuming is tried again. An attempt without a connection is free; a refusal costs the broker
    /// a channel.
    pub(crate) fn pause(&self) -> Duration {
        match self {
            Self::Disconnected => Duration::from_millis(100),
            Self::Refused(_) | Self::Failed(_) => Duration::from_secs(1),
        }
    }
}

/// The state of the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
    /// Not connected, or not able to declare or consume everything, for this reason; attempts go on without end.
    Down(String),
    /// Connected.
    Up {
        /// Counts the connections of this process.
        epoch: u64,
    },
    /// Connected, and the broker blocks publishers.
    Blocked {
        /// Counts the connections of this process.
        epoch: u64,
        /// The broker's reason.
        reason: String,
    },
}

/// An exclusive queue, deleted with its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExclusiveQueue {
    /// The last word of its name, `replies` or `events`.
    pub purpose: &'static str,
    /// Routing keys bound on the events exchange before consuming begins.
    pub event_bindings: Vec<String>,
    /// Messages it holds before it overflows.
    pub max_length: u32,
}

/// A queue's ready messages and consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueDepth {
    /// Messages ready to be delivered.
    pub ready: u64,
    /// Consumers.
    pub consumers: u32,
}

/// A consumer's deliveries, at most the prefetch of them unacknowledged. The channel closes if the connection is lost,
/// the queue is deleted or the broker cancels the consumer, and may close if nothing was delivered for a while and no
/// delivery is unacknowledged: consume again. Deliveries that were unacknowledged when the connection was lost are
/// redelivered to any consumer. Dropping the receiver cancels the consumer and requeues the deliveries that were not
/// received from it.
pub type Deliveries = mpsc::Receiver<Delivery>;

/// One delivered message, to be acknowledged or requeued. Dropped, it is requeued.
#[derive(Debug)]
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// How often the broker has delivered this message before, as far as it counts.
    pub delivery_count: u32,
    acker: Option<Box<dyn Acknowledge>>,
}

impl Delivery {
    /// For transports: a delivery with its acknowledgement.
    pub fn new(message: Message, delivery_count: u32, acker: Box<dyn Acknowledge>) -> Self {
        Self { message, delivery_count, acker: Some(acker) }
    }

    /// For transports: a delivery that needs no acknowledgement.
    pub fn auto_acked(message: Message) -> Self {
        Self { message, delivery_count: 0, acker: None }
    }

    /// Acknowledges the message: it is not delivered again. If the connection is lost it is nevertheless; handlers are
    /// idempotent.
    pub async fn ack(self) {
        if let Some(acker) = self.acker {
            acker.acknowledge(Acknowledgement::Ack).await;
        }
    }

    /// Puts the message back into its queue, to be delivered again.
    pub async fn requeue(self) {
        if let Some(acker) = self.acker {
            acker.acknowledge(Acknowledgement::Requeue).await;
        }
    }
}

/// How a delivery is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledgement {
    /// The message is handled.
    Ack,
    /// The message is delivered again.
    Requeue,
}

/// A transport's acknowledgement of one delivery. Dropped unused, the message is requeued no later than when the connection
/// ends.
#[async_trait]
pub trait Acknowledge: Send + Sync + std::fmt::Debug {
    /// Acknowledges the delivery. If the broker can't be reached, the message is delivered again.
    async fn acknowledge(self: Box<Self>, acknowledgement: Acknowledgement);
}

/// Messages that were peeked at; dropped or requeued, they stay in their queue.
pub type PeekedMessages = Vec<Delivery>;

/// A broker.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// The queues and exchanges that this transport declares at each connect.
    fn topology(&self) -> &Topology;

    /// The process's name in the names of its exclusive queues: `<process>.<instance>`.
    fn owner(&self) -> &str;

    /// A watch of the link state.
    fn link_state(&self) -> watch::Receiver<LinkState>;

    /// Publishes in the order given and returns a result for each message, in that order. `Ok` means confirmed: a
    /// persistent message to a durable queue survives the broker's restart. Messages to a queue and dead letters are
    /// mandatory: if no queue takes one, it is `Unroutable`. An event without subscribers is `Ok`. Fails fast while
    /// disconnected or blocked. A message that is not confirmed within `limit` is `Unknown`.
    async fn publish(
        &self,
        messages: Vec<(Target, Message)>,
        limit: Duration,
    ) -> Vec<Result<(), PublishError>>;

    /// Publishes without `mandatory` and without waiting for a confirmation: for replies, whose loss can't be handled.
    async fn publish_unconfirmed(&self, target: Target, message: Message) -> Result<(), PublishError>;

    /// Begins to consume a shared queue; at most `prefetch` deliveries (at least 1) are unacknowledged at any time.
    async fn consume(&self, queue: &str, prefetch: u16) -> Result<Deliveries, TransportError>;

    /// Declares an exclusive queue under a unique name, binds it, and begins to consume it without acknowledgements. Returns
    /// its name. Messages published from now on are delivered, unless the queue overflows: a queue with bindings drops its
    /// oldest messages, one without rejects new ones.
    async fn consume_exclusive(&self, queue: ExclusiveQueue) -> Result<(String, Deliveries), TransportError>;

    /// Takes up to `limit` ready messages of a queue, without waiting. They return to their places in the queue unless
    /// acknowledged.
    async fn peek(&self, queue: &str, limit: u32) -> Result<PeekedMessages, TransportError>;

    /// Returns a queue's ready messages and consumers; nothing if the queue does not exist.
    async fn depth(&self, queue: &str) -> Result<Option<QueueDepth>, TransportError>;

    /// Declares the whole topology, as at each connect. The error names every refused declaration.
    async fn declare(&self) -> Result<(), TransportError>;

    /// Closes the connection for good; consumers' channels close.
    async fn close(&self);
}

impl dyn Transport {
    /// Publishes one message, as [`Transport::publish`] does.
    pub async fn publish_one(
        &self,
        target: Target,
        message: Message,
        limit: Duration,
    ) -> Result<(), PublishError> {
        let published = self.publish(vec![(target, message)], limit).await;
        published.into_iter().next().unwrap_or(Err(PublishError::Disconnected))
    }
}

/// A transport that several tasks of a process share.
pub type SharedTransport = Arc<dyn Transport>;
