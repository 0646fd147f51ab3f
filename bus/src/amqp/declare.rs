//! Declaring the topology, at each connect and whenever a part of it has been deleted.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::channel::{bounded, forbidden, is_not_found};
use super::connection::Connection;
use super::link_state::LinkTracker;
use crate::topology::{Argument, BindingSpec, ExchangeSpec, QueueSpec, Topology};
use crate::transport::TransportError;

/// How long a refusal is reported again without asking the broker: many consumers declare at once, and each refusal costs
/// a channel.
const REFUSED_FOR: Duration = Duration::from_secs(1);

/// Declares the process's part of the topology over one connection.
pub(super) struct Declarer {
    connection: Arc<Connection>,
    topology: Arc<Topology>,
    link: Arc<LinkTracker>,
    last: Mutex<Option<Pass>>,
    /// What this connection's user may not declare, and is there.
    unconfigurable: std::sync::Mutex<HashSet<String>>,
}

/// The last declaration of the whole topology.
struct Pass {
    began: Instant,
    /// The refused declarations, if any.
    refused: Option<String>,
}

impl Declarer {
    pub(super) fn new(connection: Arc<Connection>, topology: Arc<Topology>, link: Arc<LinkTracker>) -> Self {
        Self {
            connection,
            topology,
            link,
            last: Mutex::new(None),
            unconfigurable: std::sync::Mutex::default(),
        }
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
        let declared = Declaration::new(&self.connection, &self.unconfigurable).run(&self.topology).await;
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
        let mut declaration = Declaration::new(&self.connection, &self.unconfigurable);
        declaration.declare(Item::Queue(&spec)).await?;
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
    unconfigurable: &'a std::sync::Mutex<HashSet<String>>,
    channel: Option<Channel>,
    refused: Vec<String>,
}

/// What is declared, as the reasons for refusals name it.
#[derive(Clone, Copy, derive_more::Display)]
enum Item<'a> {
    #[display("exchange {}", _0.name)]
    Exchange(&'a ExchangeSpec),
    #[display("queue {}", _0.name)]
    Queue(&'a QueueSpec),
    #[display("binding of {} to {} by {}", _0.queue, _0.exchange, _0.routing_key)]
    Binding(&'a BindingSpec),
}

impl Item<'_> {
    /// Declares it, or with `passive` looks whether it is there. AMQP has no way to look at a binding.
    async fn declare(self, channel: &Channel, passive: bool) -> lapin::Result<()> {
        match self {
            Self::Exchange(exchange) => {
                let name = exchange.name.as_str().into();
                let kind = if exchange.kind == "topic" { ExchangeKind::Topic } else { ExchangeKind::Direct };
                let options =
                    ExchangeDeclareOptions { durable: true, passive, ..ExchangeDeclareOptions::default() };
                channel.exchange_declare(name, kind, options, FieldTable::default()).await
            }
            Self::Queue(queue) => {
                let options = QueueDeclareOptions { passive, ..QueueDeclareOptions::durable() };
                channel.queue_declare(queue.name.as_str().into(), options, arguments(queue)).await.map(drop)
            }
            Self::Binding(_) if passive => Ok(()),
            Self::Binding(BindingSpec { queue, exchange, routing_key }) => {
                let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
                let (queue, exchange) = (queue.as_str().into(), exchange.as_str().into());
                channel.queue_bind(queue, exchange, routing_key.as_str().into(), options, arguments).await
            }
        }
    }
}

/// How the broker answered one declaration.
enum Answer {
    Accepted,
    /// The broker's user may not do it.
    Forbidden(String),
    NotFound,
    Refused(String),
}

impl<'a> Declaration<'a> {
    fn new(connection: &'a Connection, unconfigurable: &'a std::sync::Mutex<HashSet<String>>) -> Self {
        Self { connection, unconfigurable, channel: None, refused: Vec::new() }
    }

    async fn run(mut self, topology: &Topology) -> Result<(), TransportError> {
        for exchange in topology.exchanges() {
            self.declare(Item::Exchange(&exchange)).await?;
        }
        for queue in topology.queues() {
            self.declare(Item::Queue(&queue)).await?;
        }
        for binding in topology.bindings() {
            self.declare(Item::Binding(&binding)).await?;
        }
        if let Some(channel) = self.channel {
            bounded(channel.close(200, "OK".into())).await?;
        }
        if self.refused.is_empty() { Ok(()) } else { Err(TransportError::Refused(self.refused.join("; "))) }
    }

    /// Declares what the user may declare, and looks whether the rest is there, for a user without the right to configure
    /// it: an administrator has to make it then, and its arguments stay unknown here.
    async fn declare(&mut self, item: Item<'_>) -> Result<(), TransportError> {
        // Asked first if declaring was refused before: each refusal costs a channel.
        if self.is_unconfigurable(item) && matches!(self.call(item, true).await?, Answer::Accepted) {
            return Ok(());
        }
        let reason = match self.call(item, false).await? {
            Answer::Accepted => {
                self.unconfigurables().remove(&item.to_string());
                return Ok(());
            }
            Answer::Forbidden(reason) => match self.call(item, true).await? {
                Answer::Accepted => {
                    if self.unconfigurables().insert(item.to_string()) {
                        tracing::info!(%item, %reason, "an administrator has to declare what this user may not");
                    }
                    return Ok(());
                }
                Answer::NotFound => format!("it does not exist, and this user may not declare it: {reason}"),
                Answer::Forbidden(reason) | Answer::Refused(reason) => reason,
            },
            // The queue or the exchange of a binding, which is named already.
            Answer::NotFound => return Ok(()),
            Answer::Refused(reason) => reason,
        };
        self.refused.push(format!("{item}: {reason}"));
        Ok(())
    }

    fn is_unconfigurable(&self, item: Item<'_>) -> bool {
        let unconfigurables = self.unconfigurables();
        !unconfigurables.is_empty() && unconfigurables.contains(&item.to_string())
    }

    fn unconfigurables(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.unconfigurable.lock().expect("nothing panics while it holds this lock")
    }

    async fn call(&mut self, item: Item<'_>, passive: bool) -> Result<Answer, TransportError> {
        let channel = match self.channel.take() {
            Some(channel) => channel,
            None => self.connection.channel().await?,
        };
        let answer = bounded(async {
            match item.declare(&channel, passive).await {
                Ok(()) => Ok(Answer::Accepted),
                Err(error) if is_not_found(&error) => Ok(Answer::NotFound),
                Err(error) => match forbidden(&error) {
                    Some(reason) => Ok(Answer::Forbidden(reason)),
                    None => Err(error),
                },
            }
        });
        match answer.await {
            Ok(Answer::Accepted) => {
                self.channel = Some(channel);
                Ok(Answer::Accepted)
            }
            Ok(answer) => Ok(answer),
            Err(TransportError::Refused(reason)) => Ok(Answer::Refused(reason)),
            Err(error) => Err(error),
        }
    }
}

fn arguments(queue: &QueueSpec) -> FieldTable {
    let mut arguments = FieldTable::default();
    for (name, value) in queue.arguments() {
        let value = match value {
            Argument::Text(value) => text(&value),
            Argument::Number(value) => number(value),
        };
        arguments.insert(ShortString::from(name), value);
    }
    arguments
}

pub(super) fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

pub(super) fn number(value: u64) -> AMQPValue {
    AMQPValue::LongLongInt(i64::try_from(value).unwrap_or(i64::MAX))
}
