//! The queues and exchanges, declared from this one table by every process.

use std::time::Duration;

use schema::pattern::Service;

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

/// The queues and exchanges of one namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// The prefix of every name, before a dot.
    pub namespace: String,
    /// Each work queue has one retry queue per delay.
    pub retry_delays: RetryDelays,
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

/// A dead-letter exchange and routing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The exchange's full name; empty for the default exchange.
    pub exchange: String,
    /// The routing key.
    pub routing_key: String,
}

impl Topology {
    /// The topology of a namespace.
    pub fn new(namespace: impl Into<String>, retry_delays: RetryDelays) -> Self {
        Self { namespace: namespace.into(), retry_delays }
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

    /// Every shared queue. Exclusive queues are declared by the connection that owns them.
    pub fn queues(&self) -> Vec<QueueSpec> {
        let requests = Service::ALL.into_iter().map(|service| QueueSpec {
            name: self.requests(service),
            kind: QueueKind::Requests,
            max_length: REQUESTS_MAX_LENGTH,
            message_ttl: None,
            dead_letter: None,
            event_bindings: Vec::new(),
        });
        let work = WorkQueue::ALL.into_iter().flat_map(|queue| self.work_queues(queue));
        requests.chain(work).collect()
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
