//! What a broker does for us: the delivery contract that both transports keep.
//!
//! The conformance suite is this contract's proof, and every implementation has to pass it.

use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

use crate::message::Message;
use crate::topology::Topology;

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// Straight to the queue of this name, whether shared or somebody's exclusive one.
    Queue(String),
    /// To whichever queues are bound for this routing key on the events exchange.
    Events {
        /// As made by [`schema::order_events::routing_key`].
        routing_key: String,
    },
    /// To the dead-letter queue of this name, through the dead-letter exchange. However long it is: somebody's
    /// oversized message has to lie somewhere.
    DeadLetter(String),
}

/// Why a message was not (or may not have been) published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// There is no connection, or it broke before anything was written. Nothing was done.
    #[error("no connection to the broker")]
    Disconnected,
    /// The broker has blocked publishers (memory or disk alarm). Nothing was done.
    #[error("the broker has blocked publishing: {0}")]
    Blocked(String),
    /// Too many messages await their confirmation already. Nothing was done.
    #[error("too many messages await confirmation")]
    WindowFull,
    /// The broker refused it, as its queue is full. Nothing was done.
    #[error("the broker refused the message: the queue is full")]
    Nacked,
    /// No queue takes it. Nothing was done.
    #[error("no queue takes the message")]
    Unroutable,
    /// It is larger than the broker takes. Nothing was done.
    #[error("the message is larger than {0} bytes")]
    TooLarge(usize),
    /// It may have been published: the connection broke, or time ran out, before it was confirmed.
    #[error("the message may or may not have been published: {0}")]
    Unknown(String),
}

impl PublishError {
    /// Whether it is certain that nothing was published.
    pub fn is_certain(&self) -> bool {
        !matches!(self, Self::Unknown(_))
    }
}

/// Why consuming could not begin, or another operation failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// There is no connection now; one is being made.
    #[error("no connection to the broker")]
    Disconnected,
    /// The broker refuses, and will again until somebody changes something: arguments, permissions.
    #[error("the broker refuses: {0}")]
    Refused(String),
    /// It did not answer in time, or the connection broke.
    #[error("the broker did not answer: {0}")]
    Failed(String),
}

impl TransportError {
    /// How long to wait before consuming is tried again. While there is no connection, asking costs nothing; a
    /// refusal costs the broker something each time.
    pub(crate) fn pause(&self) -> Duration {
        match self {
            Self::Disconnected => Duration::from_millis(100),
            Self::Refused(_) | Self::Failed(_) => Duration::from_secs(1),
        }
    }
}

/// How the connection stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
    /// Not connected, for this reason; attempts go on without end.
    Down(String),
    /// Connected. The epoch rises with each connection.
    Up {
        /// Counts the connections of this process.
        epoch: u64,
    },
    /// Connected, and the broker has blocked publishers.
    Blocked {
        /// Counts the connections of this process.
        epoch: u64,
        /// The broker's words.
        reason: String,
    },
}

/// A queue of this connection's own, gone with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExclusiveQueue {
    /// What it is for: the last word of its name, `replies` or `events`.
    pub purpose: &'static str,
    /// Routing keys bound on the events exchange before consuming begins.
    pub event_bindings: Vec<String>,
    /// Messages it holds before the oldest make room.
    pub max_length: u32,
}

/// A queue's size and consumers now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueDepth {
    /// Messages ready to be delivered.
    pub ready: u64,
    /// Consumers.
    pub consumers: u32,
}

/// Messages as they are delivered, at most the prefetch of them unacknowledged.
///
/// The channel closes when the connection is lost, the queue is deleted or consuming is cancelled by
/// the broker, and may close when nothing was delivered for a while and nothing is unsettled: consume again. What was
/// unacknowledged when the connection was lost is delivered again to somebody. Dropping the receiver cancels the
/// consumer and gives back what was not taken from it.
pub type Deliveries = mpsc::Receiver<Delivery>;

/// One message, to be settled exactly once. Dropped unsettled, it is delivered again.
#[derive(Debug)]
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// How often the broker has delivered this message before, as far as it counts.
    pub delivery_count: u32,
    settle: Option<Box<dyn Settle>>,
}

impl Delivery {
    /// For transports: a message and the way to settle it.
    pub fn new(message: Message, delivery_count: u32, settle: Box<dyn Settle>) -> Self {
        Self { message, delivery_count, settle: Some(settle) }
    }

    /// For transports: a message that needs no settling.
    pub fn settled(message: Message) -> Self {
        Self { message, delivery_count: 0, settle: None }
    }

    /// Done with: it is not delivered again. Where the connection has gone it will be, all the same;
    /// handlers are idempotent.
    pub async fn ack(mut self) {
        if let Some(settle) = self.settle.take() {
            settle.settle(Settlement::Ack).await;
        }
    }

    /// Not done: back to its queue, to be delivered again.
    pub async fn requeue(mut self) {
        if let Some(settle) = self.settle.take() {
            settle.settle(Settlement::Requeue).await;
        }
    }
}

/// How a delivery ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// Done with.
    Ack,
    /// To be delivered again.
    Requeue,
}

/// A transport's way to settle one delivery. Dropped unused, the message is requeued no later than when
/// the connection ends.
#[async_trait]
pub trait Settle: Send + Sync + std::fmt::Debug {
    /// Settles it. Failing to reach the broker is no error: the message is then delivered again.
    async fn settle(self: Box<Self>, settlement: Settlement);
}

/// A message taken from a dead-letter queue to be looked at; dropped or requeued it stays there.
pub type PeekedMessages = Vec<Delivery>;

/// A broker.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// The queues and exchanges that this transport declares at each connect.
    fn topology(&self) -> &Topology;

    /// Who this process is, in the names of its exclusive queues: `<process>.<instance>`.
    fn owner(&self) -> &str;

    /// How the connection stands, now and later.
    fn link_state(&self) -> watch::Receiver<LinkState>;

    /// Publishes in the order given and answers for each, in that order.
    ///
    /// `Ok` means confirmed: a persistent message to a durable queue survives the broker's restart.
    /// Messages to a queue or dead letters are mandatory: where no queue takes one, it is `Unroutable`.
    /// An event that nobody listens to is `Ok`. Fails fast while disconnected or blocked.
    /// What is not confirmed within `limit` is `Unknown`.
    async fn publish(
        &self,
        messages: Vec<(Target, Message)>,
        limit: Duration,
    ) -> Vec<Result<(), PublishError>>;

    /// Sends without waiting for a confirmation, and without `mandatory`: for replies, which nobody can
    /// do anything about when they fail.
    async fn publish_unconfirmed(&self, target: Target, message: Message) -> Result<(), PublishError>;

    /// Begins to consume a shared queue; at most `prefetch` deliveries (at least 1) are unsettled at any time.
    async fn consume(&self, queue: &str, prefetch: u16) -> Result<Deliveries, TransportError>;

    /// Declares a queue of one's own under a fresh name, binds it, and begins to consume it without
    /// acknowledgements. Answers its name. Everything published from now on is delivered, or dropped at
    /// the head beyond `max_length`.
    async fn consume_exclusive(&self, queue: ExclusiveQueue) -> Result<(String, Deliveries), TransportError>;

    /// Takes up to `limit` messages that are ready in a queue, without waiting for any.
    /// They come back to the queue, in place, unless acknowledged.
    async fn peek(&self, queue: &str, limit: u32) -> Result<PeekedMessages, TransportError>;

    /// A queue's size and consumers; nothing where there is no such queue.
    async fn depth(&self, queue: &str) -> Result<Option<QueueDepth>, TransportError>;

    /// Declares the whole topology now, as it is at each connect. Says precisely what the broker refuses.
    async fn declare(&self) -> Result<(), TransportError>;

    /// Closes the connection; consumers' channels close. Nothing works afterwards.
    async fn close(&self);
}

/// A broker that several parts of a process share.
pub type SharedTransport = Arc<dyn Transport>;
