//! Declaring the topology, at each connect and whenever a part of it has been deleted.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::channel::bounded;
use super::connection::Connection;
use super::link_state::LinkTracker;
use crate::topology::{DELIVERY_LIMIT, QueueKind, QueueSpec, Topology};
use crate::transport::TransportError;

/// How long a refusal is reported again without asking the broker: many consumers declare at once, and each refusal costs
/// a channel.
const REFUSED_FOR: Duration = Duration::from_secs(1);

/// Declares the topology over one connection.
pub(super) struct Declarer {
    connection: Arc<Connection>,
    topology: Arc<Topology>,
    link: Arc<LinkTracker>,
    last: Mutex<Option<Pass>>,
}

/// The last declaration of the whole topology.
struct Pass {
    began: Instant,
    /// The refused declarations, if any.
    refused: Option<String>,
}

impl Declarer {
    pub(super) fn new(connection: Arc<Connection>, topology: Arc<Topology>, link: Arc<LinkTracker>) -> Self {
        Self { connection, topology, link, last: Mutex::new(None) }
    }

    /// Declares the whole topology now. One refusal leaves the rest declared; the error names every refusal.
    pub(super) async fn declare(&self) -> Result<(), TransportError> {
        // Later than an earlier refusal is reported again.
        self.declare_after(Instant::now() + REFUSED_FOR).await
    }

    /// Declares the whole topology, unless another caller began to do so after `since`, or was refused just now.
    pub(super) async fn declare_after(&self, since: Instant) -> Result<(), TransportError> {
        let mut last = self.last.lock().await;
        match &*last {
            Some(Pass { began, refused: None }) if *began > since => return Ok(()),
            Some(Pass { began, refused: Some(refused) }) if *began + REFUSED_FOR > since => {
                return Err(TransportError::Refused(refused.clone()));
            }
            _ => {}
        }
        let began = Instant::now();
        let declared = Declaration::new(&self.connection).run(&self.topology).await;
        let refused = match &declared {
            Ok(()) => None,
            Err(TransportError::Refused(refused)) => Some(refused.clone()),
            Err(error) => {
                tracing::warn!(%error, "the topology could not be declared");
                return declared;
            }
        };
        if let Some(refused) = &refused
            && self.link.refused().as_ref() != Some(refused)
        {
            tracing::error!(%refused, "the broker refuses a declaration");
        }
        self.link.change(|state| state.refused.clone_from(&refused));
        *last = Some(Pass { began, refused });
        declared
    }

    /// Declares one queue of the topology again after its consumer was begun, and everything if the broker refuses that.
    /// The broker cancels a consumer whose queue is deleted, but a queue that was replaced while it had no consumer is
    /// consumed like any other: only declaring it shows that its arguments are not ours.
    pub(super) async fn verify(&self, queue: &str) -> Result<(), TransportError> {
        let spec = self.topology.queues().into_iter().find(|spec| spec.name == queue);
        let Some(spec) = spec else { return Ok(()) };
        let began = Instant::now();
        let mut declaration = Declaration::new(&self.connection);
        declaration.queue(&spec).await?;
        if declaration.refused.is_empty() {
            return Ok(());
        }
        match self.declare_after(began).await {
            // The link state names the refusal; the queue is consumed nevertheless.
            Err(TransportError::Refused(_)) => Ok(()),
            declared => declared,
        }
    }

    pub(super) fn owns(&self, queue: &str) -> bool {
        self.topology.queues().iter().any(|ours| ours.name == queue)
    }
}

/// One pass over the topology. A refusal closes the channel that the declaration was sent on, and nothing else.
struct Declaration<'a> {
    connection: &'a Connection,
    channel: Option<Channel>,
    refused: Vec<String>,
}

impl<'a> Declaration<'a> {
    fn new(connection: &'a Connection) -> Self {
        Self { connection, channel: None, refused: Vec::new() }
    }

    async fn run(mut self, topology: &Topology) -> Result<(), TransportError> {
        let events = topology.events_exchange();
        let dead_letter = topology.dead_letter_exchange();
        self.exchange(&events, ExchangeKind::Topic).await?;
        self.exchange(&dead_letter, ExchangeKind::Direct).await?;
        let queues = topology.queues();
        for queue in &queues {
            self.queue(queue).await?;
        }
        for queue in &queues {
            for key in &queue.event_bindings {
                self.binding(&queue.name, &events, key).await?;
            }
            if let Some(target) = queue.dead_letter.as_ref().filter(|target| target.exchange == dead_letter) {
                self.binding(&target.routing_key, &dead_letter, &target.routing_key).await?;
            }
        }
        if let Some(channel) = self.channel {
            bounded(channel.close(200, "OK".into())).await?;
        }
        if self.refused.is_empty() { Ok(()) } else { Err(TransportError::Refused(self.refused.join("; "))) }
    }

    async fn exchange(&mut self, name: &str, kind: ExchangeKind) -> Result<(), TransportError> {
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let what = format!("exchange {name}");
        self.step(what, async |channel| {
            channel.exchange_declare(name.into(), kind, options, FieldTable::default()).await
        })
        .await
    }

    async fn queue(&mut self, queue: &QueueSpec) -> Result<(), TransportError> {
        let (name, options) = (queue.name.as_str(), QueueDeclareOptions::durable());
        let what = format!("queue {name}");
        self.step(what, async |channel| {
            channel.queue_declare(name.into(), options, arguments(queue)).await.map(drop)
        })
        .await
    }

    async fn binding(&mut self, queue: &str, exchange: &str, key: &str) -> Result<(), TransportError> {
        let what = format!("binding of {queue} to {exchange} by {key}");
        self.step(what, async |channel| {
            let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
            channel.queue_bind(queue.into(), exchange.into(), key.into(), options, arguments).await
        })
        .await
    }

    async fn step(
        &mut self,
        what: String,
        call: impl AsyncFnOnce(&Channel) -> lapin::Result<()>,
    ) -> Result<(), TransportError> {
        let channel = match self.channel.take() {
            Some(channel) => channel,
            None => self.connection.channel().await?,
        };
        match bounded(call(&channel)).await {
            Ok(()) => self.channel = Some(channel),
            Err(TransportError::Refused(text)) => self.refused.push(format!("{what}: {text}")),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Uses only arguments that RabbitMQ 3.10 to 4.3 treat alike, and leaves none to a default that differs among them.
fn arguments(queue: &QueueSpec) -> FieldTable {
    let mut arguments = FieldTable::default();
    let mut set = |name: &str, value| {
        arguments.insert(ShortString::from(name), value);
    };
    set("x-overflow", text("reject-publish"));
    set("x-max-length", number(u64::from(queue.max_length)));
    if let Some(ttl) = queue.message_ttl {
        set("x-message-ttl", number(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)));
    }
    if queue.kind == QueueKind::Work {
        set("x-queue-type", text("quorum"));
        set("x-delivery-limit", number(u64::from(DELIVERY_LIMIT)));
    }
    if let Some(target) = &queue.dead_letter {
        set("x-dead-letter-exchange", text(&target.exchange));
        set("x-dead-letter-routing-key", text(&target.routing_key));
        if queue.kind == QueueKind::Work {
            set("x-dead-letter-strategy", text("at-least-once"));
        }
    }
    arguments
}

pub(super) fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

pub(super) fn number(value: u64) -> AMQPValue {
    AMQPValue::LongLongInt(i64::try_from(value).unwrap_or(i64::MAX))
}
