//! The queues and exchanges, declared from this one table by every process, each its own part.

use std::time::Duration;

use schema::pattern::Service;
use serde::Serialize;

/// The broker's delivery limit of work queues: a last resort only, as attempts are counted in the message.
pub const DELIVERY_LIMIT: u32 = 100_000;
/// Ready messages in a durable work queue before publishers are refused.
pub const WORK_MAX_LENGTH: u32 = 1_000_000;
/// Ready requests in a service's queue before clients are refused.
pub const REQUESTS_MAX_LENGTH: u32 = 10_000;
/// Events waiting in one gateway's event queue before the oldest are dropped, which replay makes up for.
pub const LIVE_MAX_LENGTH: u32 = 10_000;
/// Replies waiting for one client before more are refused.
pub const REPLIES_MAX_LENGTH: u32 = 10_000;

/// The delays before each retry of a failed message; after the last retry it is dead-lettered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryDelays(pub Vec<Duration>);

impl Default for RetryDelays {
    fn default() -> Self {
        Self([1, 5, 30, 120].map(Duration::from_secs).into())
    }
}

/// The durable queues that services consume, each with its retry and dead-letter queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WorkQueue {
    /// `order.commands`: commands to order-service.
    OrderCommands,
    /// `inventory.order-events`: order events for inventory-service.
    InventoryOrderEvents,
}

impl WorkQueue {
    /// Every work queue.
    pub const ALL: [Self; 2] = [Self::OrderCommands, Self::InventoryOrderEvents];

    /// The queue's name without the namespace.
    pub fn name(self) -> &'static str {
        match self {
            Self::OrderCommands => "order.commands",
            Self::InventoryOrderEvents => "inventory.order-events",
        }
    }

    /// The routing keys bound on the events exchange.
    pub fn event_bindings(self) -> &'static [&'static str] {
        match self {
            Self::OrderCommands => &[],
            Self::InventoryOrderEvents => &["order.#"],
        }
    }
}

/// The queues and exchanges of one namespace, or the part of them that one process uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// The prefix of every name, before a dot.
    pub namespace: String,
    /// Each work queue has one retry queue per delay.
    pub retry_delays: RetryDelays,
    /// Which of them are declared and listed. Names can be had of all.
    pub part: Part,
}

/// The part of the topology that a process publishes to or consumes from, and so declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// Everything: for operators, and for a broker that serves all processes.
    Whole,
    /// What the gateway publishes to, and the events that it hears.
    Gateway,
    /// What a service consumes, and what it publishes to.
    Service(Service),
}

impl Part {
    /// Every part of one process.
    pub const PROCESSES: [Self; 4] = [
        Self::Gateway,
        Self::Service(Service::Order),
        Self::Service(Service::Inventory),
        Self::Service(Service::Customer),
    ];

    /// The name of the process, which is also the first word of its exclusive queues' names.
    pub fn process(self) -> &'static str {
        match self {
            Self::Whole => "operator",
            Self::Gateway => "gateway",
            Self::Service(Service::Order) => "order-service",
            Self::Service(Service::Inventory) => "inventory-service",
            Self::Service(Service::Customer) => "customer-service",
        }
    }

    /// The part of the process of this name; the whole for any other name.
    pub fn of_process(name: &str) -> Self {
        Self::PROCESSES.into_iter().find(|part| part.process() == name).unwrap_or(Self::Whole)
    }

    /// Whether the process requests something of the service, or serves its requests.
    fn has_requests(self, of: Service) -> bool {
        match self {
            Self::Whole | Self::Gateway | Self::Service(Service::Order) => true,
            Self::Service(Service::Inventory) => matches!(of, Service::Order | Service::Inventory),
            Self::Service(Service::Customer) => of == Service::Customer,
        }
    }

    /// Whether the process consumes the queue, and so has its retry and dead-letter queues too.
    fn consumes(self, queue: WorkQueue) -> bool {
        matches!(
            (self, queue),
            (Self::Whole, _)
                | (Self::Service(Service::Order), WorkQueue::OrderCommands)
                | (Self::Service(Service::Inventory), WorkQueue::InventoryOrderEvents)
        )
    }

    /// Whether messages of the process reach the queue. order-service declares the queue of events that it publishes to,
    /// so that one that vanished is back before the next event.
    fn publishes_to(self, queue: WorkQueue) -> bool {
        matches!(
            (self, queue),
            (Self::Gateway, WorkQueue::OrderCommands)
                | (Self::Service(Service::Order), WorkQueue::InventoryOrderEvents)
        )
    }
}

/// An exchange to declare; durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExchangeSpec {
    /// Its full name.
    pub name: String,
    /// `topic` or `direct`.
    pub kind: &'static str,
}

/// A binding to declare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingSpec {
    /// The exchange's full name.
    pub exchange: String,
    /// The queue's full name.
    pub queue: String,
    /// The routing key, which may have wildcards if the exchange is a topic exchange.
    pub routing_key: String,
}

/// The value of a queue's argument.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Argument {
    /// A text.
    Text(String),
    /// A whole number.
    Number(u64),
}

/// A queue to declare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueSpec {
    /// Its full name.
    pub name: String,
    /// The kind, which decides its durability.
    pub kind: QueueKind,
    /// Ready messages before publishers are refused.
    pub max_length: u32,
    /// How long messages stay at most before they are dead-lettered.
    pub message_ttl: Option<Duration>,
    /// Where messages that expire or exceed the delivery limit are published.
    pub dead_letter: Option<DeadLetter>,
    /// Routing keys bound on the events exchange.
    pub event_bindings: Vec<String>,
}

/// The kinds of shared queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueKind {
    /// Durable, classic, for transient messages: requests.
    Requests,
    /// Durable, quorum, at-least-once dead-lettering, with [`DELIVERY_LIMIT`]: work, retries, dead letters.
    Work,
}

impl QueueSpec {
    /// The queue's arguments, as RabbitMQ calls them: only those that RabbitMQ 3.10 to 4.3 treat alike, and none left to a
    /// default that differs among them, or that an administrator may set.
    pub fn arguments(&self) -> Vec<(&'static str, Argument)> {
        let text = |text: &str| Argument::Text(text.to_owned());
        let is_work = self.kind == QueueKind::Work;
        let mut arguments = vec![
            ("x-queue-type", text(if is_work { "quorum" } else { "classic" })),
            ("x-overflow", text("reject-publish")),
            ("x-max-length", Argument::Number(self.max_length.into())),
        ];
        if let Some(ttl) = self.message_ttl {
            let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
            arguments.push(("x-message-ttl", Argument::Number(ttl_ms)));
        }
        if is_work {
            arguments.push(("x-delivery-limit", Argument::Number(DELIVERY_LIMIT.into())));
        }
        if let Some(target) = &self.dead_letter {
            arguments.push(("x-dead-letter-exchange", text(&target.exchange)));
            arguments.push(("x-dead-letter-routing-key", text(&target.routing_key)));
            if is_work {
                arguments.push(("x-dead-letter-strategy", text("at-least-once")));
            }
        }
        arguments
    }
}

/// A dead-letter exchange and routing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The exchange's full name; empty for the default exchange.
    pub exchange: String,
    /// The routing key.
    pub routing_key: String,
}

impl Topology {
    /// The whole topology of a namespace.
    pub fn new(namespace: impl Into<String>, retry_delays: RetryDelays) -> Self {
        Self { namespace: namespace.into(), retry_delays, part: Part::Whole }
    }

    /// The same topology, reduced to one part.
    pub fn part(self, part: Part) -> Self {
        Self { part, ..self }
    }

    fn name(&self, rest: impl std::fmt::Display) -> String {
        format!("{}.{rest}", self.namespace)
    }

    /// The topic exchange that all events go through.
    pub fn events_exchange(&self) -> String {
        self.name("events")
    }

    /// The direct exchange that dead letters go through, routed by the name of their dead-letter queue.
    pub fn dead_letter_exchange(&self) -> String {
        self.name("dead-letter")
    }

    /// The queue of requests to a service.
    pub fn requests(&self, service: Service) -> String {
        self.name(format_args!("{}.requests", service.name()))
    }

    /// A work queue.
    pub fn work(&self, queue: WorkQueue) -> String {
        self.name(queue.name())
    }

    /// A work queue's dead-letter queue.
    pub fn dead(&self, queue: WorkQueue) -> String {
        format!("{}.dead", self.work(queue))
    }

    /// The retry queue of a work queue for one delay.
    pub fn retry(&self, queue: WorkQueue, delay: Duration) -> String {
        format!("{}.retry.{}", self.work(queue), delay_name(delay))
    }

    /// The name of an exclusive queue: `<namespace>.<process>.<instance>.<suffix>.<purpose>`.
    pub fn exclusive(&self, owner: &str, suffix: &str, purpose: &str) -> String {
        self.name(format_args!("{owner}.{suffix}.{purpose}"))
    }

    /// The shared queues of the part. Exclusive queues are declared by the connection that owns them.
    pub fn queues(&self) -> Vec<QueueSpec> {
        let services = Service::ALL.into_iter().filter(|&service| self.part.has_requests(service));
        let requests = services.map(|service| QueueSpec {
            name: self.requests(service),
            kind: QueueKind::Requests,
            max_length: REQUESTS_MAX_LENGTH,
            message_ttl: None,
            dead_letter: None,
            event_bindings: Vec::new(),
        });
        let work = WorkQueue::ALL.into_iter().flat_map(|queue| {
            let mut queues = self.work_queues(queue);
            let used = match (self.part.consumes(queue), self.part.publishes_to(queue)) {
                (true, _) => queues.len(),
                // The first is the work queue itself.
                (false, true) => 1,
                (false, false) => 0,
            };
            queues.truncate(used);
            queues
        });
        requests.chain(work).collect()
    }

    /// The exchanges of the part.
    pub fn exchanges(&self) -> Vec<ExchangeSpec> {
        let events = ExchangeSpec { name: self.events_exchange(), kind: "topic" };
        let dead_letter = ExchangeSpec { name: self.dead_letter_exchange(), kind: "direct" };
        match self.part {
            Part::Whole | Part::Service(Service::Order | Service::Inventory) => vec![events, dead_letter],
            Part::Gateway => vec![events],
            Part::Service(Service::Customer) => Vec::new(),
        }
    }

    /// The bindings of the part's queues.
    pub fn bindings(&self) -> Vec<BindingSpec> {
        let (queues, dead_letter) = (self.queues(), self.dead_letter_exchange());
        let binding = |exchange: &str, queue: &str, routing_key: &str| BindingSpec {
            exchange: exchange.to_owned(),
            queue: queue.to_owned(),
            routing_key: routing_key.to_owned(),
        };
        let mut bindings = Vec::new();
        for queue in &queues {
            let keys = queue.event_bindings.iter();
            bindings.extend(keys.map(|key| binding(&self.events_exchange(), &queue.name, key)));
            let dead = queue.dead_letter.as_ref().filter(|target| target.exchange == dead_letter);
            if let Some(dead) = dead.map(|target| &target.routing_key)
                && queues.iter().any(|queue| queue.name == *dead)
            {
                bindings.push(binding(&dead_letter, dead, dead));
            }
        }
        bindings
    }

    /// The shared queues that one service consumes, with their retry and dead-letter queues.
    pub fn queues_of(&self, service: Service) -> Vec<QueueSpec> {
        let own = self.name(format_args!("{}.", service.name()));
        self.queues().into_iter().filter(|queue| queue.name.starts_with(&own)).collect()
    }

    fn work_queues(&self, queue: WorkQueue) -> Vec<QueueSpec> {
        let work = |name, message_ttl, dead_letter| QueueSpec {
            name,
            kind: QueueKind::Work,
            max_length: WORK_MAX_LENGTH,
            message_ttl,
            dead_letter,
            event_bindings: Vec::new(),
        };
        let dead = self.dead(queue);
        let to_dead = DeadLetter { exchange: self.dead_letter_exchange(), routing_key: dead.clone() };
        let back = DeadLetter { exchange: String::new(), routing_key: self.work(queue) };
        let mut queues = vec![
            QueueSpec {
                event_bindings: queue.event_bindings().iter().map(|&key| key.to_owned()).collect(),
                ..work(self.work(queue), None, Some(to_dead))
            },
            work(dead, None, None),
        ];
        let retry = |&delay| work(self.retry(queue, delay), Some(delay), Some(back.clone()));
        queues.extend(self.retry_delays.0.iter().map(retry));
        queues
    }
}

/// A delay in a queue's name: in seconds if it is whole seconds, else in milliseconds.
fn delay_name(delay: Duration) -> String {
    if delay.subsec_millis() == 0 {
        format!("{}s", delay.as_secs())
    } else {
        format!("{}ms", delay.as_millis())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_work_queue_has_its_retry_and_dead_letter_queues() {
        let topology =
            Topology::new("waybill", RetryDelays([1_500, 5_000].map(Duration::from_millis).into()));
        let names: Vec<String> = topology.queues().into_iter().map(|queue| queue.name).collect();
        assert_eq!(
            names,
            [
                "waybill.order.requests",
                "waybill.inventory.requests",
                "waybill.customer.requests",
                "waybill.order.commands",
                "waybill.order.commands.dead",
                "waybill.order.commands.retry.1500ms",
                "waybill.order.commands.retry.5s",
                "waybill.inventory.order-events",
                "waybill.inventory.order-events.dead",
                "waybill.inventory.order-events.retry.1500ms",
                "waybill.inventory.order-events.retry.5s",
            ]
        );
    }

    #[test]
    fn each_process_declares_its_own_part() {
        let names = |process: &str| -> Vec<String> {
            let delays = RetryDelays([5_000].map(Duration::from_millis).into());
            let topology = Topology::new("w", delays).part(Part::of_process(process));
            let queues = topology.queues().into_iter().map(|queue| queue.name);
            let exchanges = topology.exchanges().into_iter().map(|exchange| exchange.name);
            let bindings = topology.bindings().into_iter().map(|it| format!("{}>{}", it.exchange, it.queue));
            queues.chain(exchanges).chain(bindings).map(|name| name.replace("w.", "")).collect()
        };
        assert_eq!(
            names("gateway"),
            ["order.requests", "inventory.requests", "customer.requests", "order.commands", "events"]
        );
        assert_eq!(names("customer-service"), ["customer.requests"]);
        assert_eq!(
            names("inventory-service"),
            [
                "order.requests",
                "inventory.requests",
                "inventory.order-events",
                "inventory.order-events.dead",
                "inventory.order-events.retry.5s",
                "events",
                "dead-letter",
                "events>inventory.order-events",
                "dead-letter>inventory.order-events.dead",
            ]
        );
        assert_eq!(
            names("order-service"),
            [
                "order.requests",
                "inventory.requests",
                "customer.requests",
                "order.commands",
                "order.commands.dead",
                "order.commands.retry.5s",
                "inventory.order-events",
                "events",
                "dead-letter",
                "dead-letter>order.commands.dead",
                "events>inventory.order-events",
            ]
        );
        assert_eq!(Part::of_process("waybill"), Part::Whole);
    }

    #[test]
    fn each_queue_is_one_services() {
        let topology = Topology::new("waybill", RetryDelays::default());
        let mut of_services: Vec<QueueSpec> =
            Service::ALL.into_iter().flat_map(|service| topology.queues_of(service)).collect();
        let mut all = topology.queues();
        of_services.sort_by(|one, other| one.name.cmp(&other.name));
        all.sort_by(|one, other| one.name.cmp(&other.name));
        assert_eq!(of_services, all);
        assert_eq!(topology.queues_of(Service::Customer).len(), 1);
    }
}
