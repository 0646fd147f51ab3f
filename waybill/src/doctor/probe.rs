//! Asks a system about its broker, queues, services and databases, and judges nothing.

use std::time::{Duration, Instant};

use schema::inventory_messages::StockAudited;
use schema::order_messages::{AuditPage, Backlog, OrderAudited};
use serde::Serialize;

use super::management::ManagementStatus;
use crate::admin::{
    AdminConnection, AdminRequest, BrokerStatus, ClockStatus, DatabaseStatus, QueueStatus, QueuesStatus,
};

/// How long a service may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How often, and after which pause, queues without consumers are read again: a consumer that reconnects is away briefly.
const CONSUMER_READS: u32 = 10;
const CONSUMER_PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Snapshot {
    pub(super) broker: BrokerStatus,
    pub(super) queues: Vec<QueueStatus>,
    /// None if the management API is not asked.
    pub(super) management: Option<ManagementStatus>,
    /// None if the system isn't running.
    pub(super) services: Option<Vec<ServiceStatus>>,
    /// What order-service says about its outbox and its pending orders.
    pub(super) backlog: Option<BacklogStatus>,
    pub(super) databases: Vec<DatabaseStatus>,
    pub(super) clocks: Vec<ClockStatus>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServiceStatus {
    pub(super) name: String,
    pub(super) answered_in_ms: u64,
    /// Why there is no answer.
    pub(super) fault: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BacklogStatus {
    pub(super) outbox: u64,
    pub(super) backlog: Backlog,
}

impl Snapshot {
    /// The snapshot of a system whose broker can't be connected to.
    pub(super) fn unreachable(reason: String) -> Self {
        let broker = BrokerStatus { unreachable: Some(reason), ..BrokerStatus::default() };
        Self { broker, ..Self::default() }
    }
}

pub(super) async fn probe(connection: &AdminConnection) -> anyhow::Result<Snapshot> {
    // Queues first: inspecting the broker declares those that are missing.
    let QueuesStatus { queues, fault } = connection.call(AdminRequest::InspectQueues).await?;
    let broker = connection.call(AdminRequest::InspectBroker).await?;
    let mut snapshot = Snapshot { broker, queues, ..Snapshot::default() };
    snapshot.broker.fault = snapshot.broker.fault.or(fault);
    if connection.has_services() {
        await_consumers(connection, &mut snapshot.queues).await;
        let audit_stock = AdminRequest::AuditStock(vec![AuditPage { after: None, limit: 1 }]);
        let ((orders, backlog), (inventory, _), (customers, _)) = tokio::join!(
            order_service(connection),
            timed::<Vec<StockAudited>>("inventory-service", connection, audit_stock),
            timed::<()>("customer-service", connection, AdminRequest::PingCustomerService),
        );
        snapshot.backlog = backlog;
        snapshot.clocks = connection.call(AdminRequest::InspectClocks).await?;
        let services = vec![orders, inventory, customers];
        // The broker tells a client of an alarm only once it publishes.
        if services.iter().any(|service| service.fault.is_some()) {
            let again: BrokerStatus = connection.call(AdminRequest::InspectBroker).await?;
            snapshot.broker.blocked = snapshot.broker.blocked.or(again.blocked);
        }
        snapshot.services = Some(services);
    }
    snapshot.databases = connection.call(AdminRequest::InspectDatabases).await?;
    Ok(snapshot)
}

/// Reads queues without consumers again until each has some, or no more reads are left.
async fn await_consumers(connection: &AdminConnection, queues: &mut [QueueStatus]) {
    for _ in 0..CONSUMER_READS {
        if !queues.iter().any(QueueStatus::lacks_consumers) {
            return;
        }
        if let Ok(read) = connection.call::<QueuesStatus>(AdminRequest::InspectQueues).await {
            for queue in queues.iter_mut().filter(|queue| queue.lacks_consumers()) {
                let again = read.queues.iter().find(|again| again.name == queue.name);
                queue.depth = again.and_then(|again| again.depth).or(queue.depth);
            }
        }
        tokio::time::sleep(CONSUMER_PAUSE).await;
    }
}

async fn order_service(connection: &AdminConnection) -> (ServiceStatus, Option<BacklogStatus>) {
    let audit = AdminRequest::AuditOrders(vec![AuditPage { after: None, limit: 1 }]);
    let (service, pages) = timed::<Vec<OrderAudited>>("order-service", connection, audit).await;
    let page = pages.and_then(|pages| pages.into_iter().next());
    let backlog = page.and_then(|page| Some(BacklogStatus { outbox: page.outbox, backlog: page.backlog? }));
    (service, backlog)
}

async fn timed<A: 'static>(
    name: &str,
    connection: &AdminConnection,
    request: AdminRequest,
) -> (ServiceStatus, Option<A>) {
    let began = Instant::now();
    let answer = connection.call_within(request, ANSWER_LIMIT).await;
    let answered_in_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let fault = answer.as_ref().err().map(|error| format!("{error:#}"));
    (ServiceStatus { name: name.to_owned(), answered_in_ms, fault }, answer.ok())
}
