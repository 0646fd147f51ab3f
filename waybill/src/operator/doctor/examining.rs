//! Looking at a broker, and at the services behind it.

use std::time::{Duration, Instant};

use bus::clock::{Clock, SystemClock};
use bus::deadline::Deadline;
use bus::rpc_client::{RequestError, RpcClient, request};
use bus::topology::{QueueSpec, Topology, WorkQueue};
use bus::transport::{LinkState, SharedTransport, TransportError};
use schema::customer::Customer;
use schema::ids::CustomerId;
use schema::inventory_messages::{StockAudit, StockAudited};
use schema::order_messages::{OrderAudit, OrderAudited};
use schema::pattern;
use store::Database;

use super::databases;
use super::examined::{Broker, Depth, Examined, Queue, Role, SeenBacklog, Service};

/// How long a service may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// How often, and after which pause, a queue is looked at again that nobody seems to consume.
const CONSUMER_LOOKS: u32 = 10;
const CONSUMER_PAUSE: Duration = Duration::from_millis(200);

/// Looks at everything.
pub(in crate::operator) async fn examine(
    transport: &SharedTransport,
    services: Option<&dyn RpcClient>,
    databases: &[Database],
) -> Examined {
    let (queues, queue_fault) = queues(transport).await;
    let mut broker = broker(transport).await;
    broker.fault = broker.fault.or(queue_fault);
    let mut examined = Examined { broker, queues, ..Examined::default() };
    if let Some(services) = services {
        await_consumers(transport, &mut examined.queues).await;
        let (orders, inventory, customers) =
            tokio::join!(orders(services), inventory(services), customers(services));
        examined.backlog = orders.1;
        examined.services = Some(vec![orders.0, inventory, customers]);
    }
    examined.databases = databases::connected(databases).await;
    examined
}

async fn broker(transport: &SharedTransport) -> Broker {
    let mut broker = Broker::default();
    match transport.declare().await {
        Ok(()) => {}
        Err(TransportError::Refused(refused)) => broker.refused = Some(refused),
        Err(error) => broker.fault = Some(error.to_string()),
    }
    if let LinkState::Blocked { reason, .. } = &*transport.link_state().borrow() {
        broker.blocked = Some(reason.clone());
    }
    broker
}

async fn queues(transport: &SharedTransport) -> (Vec<Queue>, Option<String>) {
    let topology = transport.topology();
    let (mut queues, mut fault) = (Vec::new(), None);
    for queue in topology.queues() {
        match transport.depth(&queue.name).await {
            Ok(depth) => {
                let depth = depth.map(|depth| Depth { ready: depth.ready, consumers: depth.consumers });
                queues.push(Queue { role: role(topology, &queue), name: queue.name, depth });
            }
            Err(error) => {
                fault = Some(format!("{}: {error}", queue.name));
                // A refusal concerns one queue; a broker that doesn't answer would be waited for at each.
                if !matches!(error, TransportError::Refused(_)) {
                    break;
                }
            }
        }
    }
    (queues, fault)
}

/// Looks again, for a while, at queues without consumers: one that begins anew is away for a moment.
async fn await_consumers(transport: &SharedTransport, queues: &mut [Queue]) {
    for _ in 0..CONSUMER_LOOKS {
        let mut missed = false;
        for queue in queues.iter_mut().filter(|queue| queue.lacks_consumers()) {
            if let Ok(Some(depth)) = transport.depth(&queue.name).await {
                queue.depth = Some(Depth { ready: depth.ready, consumers: depth.consumers });
            }
            missed |= queue.lacks_consumers();
        }
        if !missed {
            return;
        }
        tokio::time::sleep(CONSUMER_PAUSE).await;
    }
}

fn role(topology: &Topology, queue: &QueueSpec) -> Role {
    match queue.kind {
        bus::topology::QueueKind::Requests => Role::Requests,
        _ if queue.message_ttl.is_some() => Role::Retry,
        _ if WorkQueue::ALL.into_iter().any(|work| topology.dead(work) == queue.name) => Role::Dead,
        bus::topology::QueueKind::Work => Role::Work,
    }
}

async fn orders(services: &dyn RpcClient) -> (Service, Option<SeenBacklog>) {
    let question = [OrderAudit { after: None, limit: 1 }];
    let asked = SystemClock.now();
    let asking = request(services, pattern::ORDER_AUDIT, &question, Deadline::after(ANSWER_LIMIT));
    let (service, pages) = timed("order-service", asking).await;
    let midway = (asked.unix_ms() + SystemClock.now().unix_ms()) / 2;
    let page = pages.and_then(|pages: Vec<OrderAudited>| pages.into_iter().next());
    let backlog = page.and_then(|page| {
        let backlog = page.backlog?;
        let clock_ahead_ms = backlog.now.unix_ms() - midway;
        Some(SeenBacklog { outbox: page.outbox, clock_ahead_ms, backlog })
    });
    (service, backlog)
}

async fn inventory(services: &dyn RpcClient) -> Service {
    let question = [StockAudit { after: None, limit: 1 }];
    let asking = request(services, pattern::INVENTORY_AUDIT, &question, Deadline::after(ANSWER_LIMIT));
    timed::<Vec<StockAudited>>("inventory-service", asking).await.0
}

async fn customers(services: &dyn RpcClient) -> Service {
    let nobody: [CustomerId; 0] = [];
    let asking = request(services, pattern::CUSTOMER_GET, &nobody, Deadline::after(ANSWER_LIMIT));
    timed::<Vec<Option<Customer>>>("customer-service", asking).await.0
}

async fn timed<A>(name: &str, asking: impl Future<Output = Result<A, RequestError>>) -> (Service, Option<A>) {
    let began = Instant::now();
    let answer = asking.await;
    let answered_in_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let fault = answer.as_ref().err().map(ToString::to_string);
    (Service { name: name.to_owned(), answered_in_ms, fault }, answer.ok())
}
