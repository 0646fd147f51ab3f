//! The transport over RabbitMQ, 3.10 to 4.3.
//!
//! A supervisor connects without end, and every session begins with declaring the topology. Consumers end with the session
//! and their callers begin them anew; unconfirmed messages are answered [`PublishError::Unknown`]. Connections, channels and
//! everything that waits on them are bounded in number, size and time.

mod acks;
mod brokers;
mod channel;
mod connection;
mod consumer;
mod declare;
mod link_state;
mod properties;
mod publisher;
mod session;

use async_trait::async_trait;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::heartbeat::Heartbeat;
use crate::message::{BODY_MAX_BYTES, Message};
use crate::topology::Topology;
use crate::transport::{
    Deliveries, ExclusiveQueue, LinkState, PeekedMessages, PublishError, QueueDepth, Target, Transport,
    TransportError,
};
use brokers::Brokers;
pub use brokers::{InvalidUrl, check_urls, virtual_host};
use link_state::LinkTracker;
use publisher::{Outgoing, Published, Publisher};
use session::{Session, Supervisor};

/// How long writing an unconfirmed message may take.
const WRITE_LIMIT: Duration = Duration::from_secs(5);
/// How long a result is held back so that a deleted queue exists again for the next message.
const HEAL_LIMIT: Duration = Duration::from_secs(2);

/// Where the broker is, and who connects to it.
#[derive(Clone)]
pub struct AmqpConfig {
    /// `amqp://user:password@host:port/vhost`, or `amqps://` over TLS. Of several URLs, separated by commas, the first that
    /// accepts a connection is used; when it is lost, the list is tried again from the next one on.
    pub urls: String,
    /// Root certificates in PEM that `amqps://` trusts beside the system's.
    pub root_certificates: Option<String>,
    /// `<process>.<instance>`: the connections' name, and part of the names of exclusive queues.
    pub owner: String,
    /// The queues and exchanges that are declared at each connect.
    pub topology: Topology,
    /// The longest body that is published, in bytes. Dead letters, which the broker has accepted once already, may be longer.
    pub max_message_bytes: usize,
    /// Beats while the supervisor runs.
    pub heartbeat: Heartbeat,
}

impl AmqpConfig {
    /// The usual limits.
    pub fn new(urls: impl Into<String>, owner: impl Into<String>, topology: Topology) -> Self {
        Self {
            urls: urls.into(),
            root_certificates: None,
            owner: owner.into(),
            topology,
            max_message_bytes: BODY_MAX_BYTES,
            heartbeat: Heartbeat::new(),
        }
    }
}

/// A transport over RabbitMQ that reconnects whenever its connections are lost. Dropped, it disconnects.
pub struct AmqpTransport {
    owner: String,
    topology: Arc<Topology>,
    max_message_bytes: usize,
    link: Arc<LinkTracker>,
    session: watch::Receiver<Option<Arc<Session>>>,
    supervisor: TaskTracker,
    stop: CancellationToken,
}

impl AmqpTransport {
    /// Begins to connect, in the background and without end. Fails only if the URL is invalid. Needs a tokio runtime.
    pub fn connect(config: AmqpConfig) -> Result<Self, InvalidUrl> {
        // Another crate of the process may have installed a provider; the first one stays.
        drop(rustls::crypto::ring::default_provider().install_default());
        let brokers = Brokers::new(&config.urls, config.root_certificates)?;
        let topology = Arc::new(config.topology);
        let link = Arc::new(LinkTracker::new());
        let (session, sessions) = watch::channel(None);
        let supervisor = Supervisor {
            brokers,
            owner: config.owner.clone(),
            topology: Arc::clone(&topology),
            link: Arc::clone(&link),
            session,
            heartbeat: config.heartbeat,
        };
        let stop = CancellationToken::new();
        let tracker = TaskTracker::new();
        tracker.spawn(supervisor.run(stop.clone()));
        tracker.close();
        Ok(Self {
            owner: config.owner,
            topology,
            max_message_bytes: config.max_message_bytes,
            link,
            session: sessions,
            supervisor: tracker,
            stop,
        })
    }

    /// Waits until the link is up. Returns the last link state if that takes longer than `limit`.
    pub async fn wait_until_up(&self, limit: Duration) -> Result<(), LinkState> {
        let mut link = self.link_state();
        let up = link.wait_for(|link| matches!(link, LinkState::Up { .. }));
        if tokio::time::timeout(limit, up).await.is_ok_and(|up| up.is_ok()) {
            return Ok(());
        }
        Err(self.link_state().borrow().clone())
    }

    fn session(&self) -> Option<Arc<Session>> {
        self.session.borrow().clone()
    }

    fn connected(&self) -> Result<Arc<Session>, TransportError> {
        self.session().ok_or(TransportError::Disconnected)
    }

    fn publishing_session(&self) -> Result<Arc<Session>, PublishError> {
        let session = self.session().ok_or(PublishError::Disconnected)?;
        if session.publishing.is_blocked() {
            return Err(PublishError::Blocked(self.link.blocked_reason()));
        }
        Ok(session)
    }

    async fn submit(
        &self,
        publisher: &Publisher,
        target: Target,
        message: Message,
        deadline: Instant,
    ) -> Result<oneshot::Receiver<Published>, PublishError> {
        let was_accepted_before = matches!(target, Target::DeadLetter(_));
        if message.body.len() > self.max_message_bytes && !was_accepted_before {
            return Err(PublishError::TooLarge(self.max_message_bytes));
        }
        publisher.submit(self.outgoing(target, message)?, deadline).await
    }

    fn outgoing(&self, target: Target, message: Message) -> Result<Outgoing, PublishError> {
        let (exchange, routing_key, mandatory) = match target {
            Target::Queue(queue) => (String::new(), queue, true),
            Target::Events { routing_key } => (self.topology.events_exchange(), routing_key, false),
            Target::DeadLetter(queue) => (self.topology.dead_letter_exchange(), queue, true),
        };
        // No queue has a name that is too long for AMQP.
        let short = |name: &str| properties::short(name).ok_or(PublishError::Unroutable);
        Ok(Outgoing {
            exchange: short(&exchange)?,
            routing_key: short(&routing_key)?,
            mandatory,
            properties: properties::write(&message),
            body: message.body,
        })
    }

    /// Declares the topology again if messages to its queues were returned.
    async fn heal(&self, session: &Session, returned: HashSet<String>) {
        if returned.iter().any(|queue| session.declarer.owns(queue)) {
            let healing = session.declarer.declare_after(Instant::now());
            let healed = tokio::time::timeout(HEAL_LIMIT, healing).await;
            tracing::warn!(queues = ?returned, ?healed, "the topology was declared after messages were returned");
        }
    }
}

#[async_trait]
impl Transport for AmqpTransport {
    fn topology(&self) -> &Topology {
        &self.topology
    }

    fn owner(&self) -> &str {
        &self.owner
    }

    fn link_state(&self) -> watch::Receiver<LinkState> {
        self.link.link.subscribe()
    }

    async fn publish(
        &self,
        messages: Vec<(Target, Message)>,
        limit: Duration,
    ) -> Vec<Result<(), PublishError>> {
        let deadline = Instant::now() + limit;
        let session = match self.publishing_session() {
            Ok(session) => session,
            Err(error) => return vec![Err(error); messages.len()],
        };
        let mut submitted = Vec::with_capacity(messages.len());
        let mut unsent = None;
        for (target, message) in messages {
            let queue = match &target {
                Target::Queue(queue) | Target::DeadLetter(queue) => Some(queue.clone()),
                Target::Events { .. } => None,
            };
            let answer = match &unsent {
                // After a message that could not be sent, no other is sent: the order would change.
                Some(error) => Err(PublishError::clone(error)),
                None => self.submit(&session.confirmed, target, message, deadline).await,
            };
            if let Err(error @ (PublishError::Disconnected | PublishError::WindowFull)) = &answer {
                unsent = Some(error.clone());
            }
            submitted.push((queue, answer));
        }
        let mut published = Vec::with_capacity(submitted.len());
        let mut returned = HashSet::new();
        for (queue, answer) in submitted {
            let outcome = match answer {
                Ok(answer) => answered(answer, deadline).await,
                Err(error) => Err(error),
            };
            if outcome == Err(PublishError::Unroutable) {
                returned.extend(queue);
            }
            published.push(outcome);
        }
        self.heal(&session, returned).await;
        published
    }

    async fn publish_unconfirmed(&self, target: Target, message: Message) -> Result<(), PublishError> {
        let session = self.publishing_session()?;
        if message.body.len() > self.max_message_bytes {
            return Err(PublishError::TooLarge(self.max_message_bytes));
        }
        let outgoing = Outgoing { mandatory: false, ..self.outgoing(target, message)? };
        let deadline = Instant::now() + WRITE_LIMIT;
        answered(session.unconfirmed.submit(outgoing, deadline).await?, deadline).await
    }

    async fn consume(&self, queue: &str, prefetch: u16) -> Result<Deliveries, TransportError> {
        self.connected()?.consume(queue, prefetch).await
    }

    async fn consume_exclusive(&self, queue: ExclusiveQueue) -> Result<(String, Deliveries), TransportError> {
        let suffix = uuid::Uuid::new_v4().simple().to_string();
        let name = self.topology.exclusive(&self.owner, &suffix[..8], queue.purpose);
        let deliveries =
            self.connected()?.consume_exclusive(&name, &self.topology.events_exchange(), &queue).await?;
        Ok((name, deliveries))
    }

    async fn peek(&self, queue: &str, limit: u32) -> Result<PeekedMessages, TransportError> {
        self.connected()?.peek(queue, limit).await
    }

    async fn depth(&self, queue: &str) -> Result<Option<QueueDepth>, TransportError> {
        self.connected()?.depth(queue).await
    }

    async fn declare(&self) -> Result<(), TransportError> {
        self.connected()?.declarer.declare().await
    }

    async fn close(&self) {
        self.stop.cancel();
        self.supervisor.wait().await;
    }
}

impl Drop for AmqpTransport {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Waits for the result of a submitted message.
async fn answered(answer: oneshot::Receiver<Published>, deadline: Instant) -> Published {
    match tokio::time::timeout_at(deadline, answer).await {
        Ok(Ok(published)) => published,
        Ok(Err(_)) => Err(PublishError::Unknown("the connection was lost".to_owned())),
        Err(_) => Err(PublishError::Unknown("it was not confirmed in time".to_owned())),
    }
}
