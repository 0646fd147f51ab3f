//! Inspects a broker and databases, and changes nothing in them but what a declaration of the topology adds.

use std::sync::Arc;
use std::time::Duration;

use bus::clock::{Clock, Deadline, SystemClock};
use bus::rpc_client::{RpcClient, request};
use bus::topology::{QueueKind, QueueSpec, Topology, WorkQueue};
use bus::transport::{LinkState, SharedTransport, TransportError};
use schema::clock::ClockReport;
use schema::pattern::{Service, clock_of};
use service_kit::config::Secret;
use store::{Database, StoreError};

use super::{BrokerStatus, ClockStatus, DatabaseStatus, QueueRole, QueueStatus, QueuesStatus, TablesStatus};
use crate::data_dir::DataDir;
use crate::infrastructure::sqlite_url;

/// How long a service may take to tell its time.
const CLOCK_LIMIT: Duration = Duration::from_secs(2);
/// How long all questions to one database may take.
const DATABASE_LIMIT: Duration = Duration::from_secs(5);
/// How long a write that failed is reported after later ones have succeeded: on a disk that is nearly full some do.
const FAILURE_REPORTED: Duration = Duration::from_secs(60);

pub(super) async fn broker(transport: &SharedTransport) -> BrokerStatus {
    let mut broker = BrokerStatus::default();
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

pub(super) async fn queues(transport: &SharedTransport) -> QueuesStatus {
    let topology = transport.topology();
    let (mut queues, mut fault) = (Vec::new(), None);
    for queue in topology.queues() {
        match transport.depth(&queue.name).await {
            Ok(depth) => {
                queues.push(QueueStatus { role: role(topology, &queue), name: queue.name, depth });
            }
            Err(error) => {
                fault = Some(format!("{}: {error}", queue.name));
                // A refusal concerns one queue; a broker that doesn't answer would use up the time limit of each.
                if !matches!(error, TransportError::Refused(_)) {
                    break;
                }
            }
        }
    }
    QueuesStatus { queues, fault }
}

fn role(topology: &Topology, queue: &QueueSpec) -> QueueRole {
    match queue.kind {
        QueueKind::Requests => QueueRole::Requests,
        _ if queue.message_ttl.is_some() => QueueRole::Retry,
        _ if WorkQueue::ALL.into_iter().any(|work| topology.dead(work) == queue.name) => QueueRole::Dead,
        QueueKind::Work => QueueRole::Work,
    }
}

/// The clocks of the services that answer, and of those that send them requests. Of several copies of a service one answers.
pub(super) async fn clocks(services: &dyn RpcClient, deadline: Deadline) -> Vec<ClockStatus> {
    let mut clocks = Vec::new();
    for service in Service::ALL {
        let before = SystemClock.now();
        let limit = deadline.at_most(CLOCK_LIMIT);
        let report: Result<ClockReport, _> = request(services, &clock_of(service), &(), limit).await;
        let midway_ms = (before.unix_ms() + SystemClock.now().unix_ms()) / 2;
        clocks.extend(report.ok().map(|report| ClockStatus {
            service: format!("{}-service", service.name()),
            ahead_ms: report.now.unix_ms() - midway_ms,
            senders: report.senders,
        }));
    }
    clocks
}

/// The SQLite files of a system that isn't running; its lock has to be held.
pub(super) async fn database_files(data_dir: &DataDir) -> Vec<DatabaseStatus> {
    let mut found = Vec::new();
    for tables in ["orders", "inventory", "customers"] {
        let file = data_dir.database(tables);
        // Connecting would create a file that doesn't exist.
        if file.exists() {
            found.push(database_at(&file.display().to_string(), &sqlite_url(&file)).await);
        }
    }
    found
}

/// The database at `url`, which the operator knows as `name`.
pub(crate) async fn database_at(name: &str, url: &Secret) -> DatabaseStatus {
    let inspecting = async {
        let database = Database::connect(url.expose(), Arc::new(SystemClock)).await?;
        let status = database_status(name, &database).await;
        database.close().await;
        status
    };
    within_limit(name, inspecting).await
}

pub(super) async fn connected_databases(databases: &[Database]) -> Vec<DatabaseStatus> {
    let mut found: Vec<DatabaseStatus> = Vec::new();
    for database in databases {
        let mut status = within_limit("database", database_status("database", database)).await;
        let tables: Vec<&str> = status.tables.iter().map(|tables| tables.of.as_str()).collect();
        if !tables.is_empty() {
            status.name = format!("database of {}", tables.join(", "));
        }
        // Services that share one database have a connection each.
        if found.iter().all(|other| other.name != status.name) {
            found.push(status);
        }
    }
    found
}

async fn within_limit(
    name: &str,
    inspecting: impl Future<Output = Result<DatabaseStatus, StoreError>>,
) -> DatabaseStatus {
    let fault = match tokio::time::timeout(DATABASE_LIMIT, inspecting).await {
        Ok(Ok(status)) => return status,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", DATABASE_LIMIT.as_secs()),
    };
    let name = name.to_owned();
    DatabaseStatus { name, fault: Some(fault), write_failure: None, tables: Vec::new(), clock_ahead_ms: 0 }
}

/// Tells that the database takes no writes, or that one failed not long ago.
async fn write_failure(database: &Database) -> Option<String> {
    if let Err(error) = database.ping().await {
        return Some(format!("it takes no writes: {error}"));
    }
    let failure = database.write_failure().filter(|failure| failure.age < FAILURE_REPORTED)?;
    let seconds = humantime::format_duration(Duration::from_secs(failure.age.as_secs()));
    Some(format!("a write failed {seconds} ago: {}", failure.reason))
}

async fn database_status(name: &str, database: &Database) -> Result<DatabaseStatus, StoreError> {
    let before = SystemClock.now();
    let database_now = database.now().await?;
    let midway_ms = (before.unix_ms() + SystemClock.now().unix_ms()) / 2;
    let progress = [
        ("orders", migrations::ORDERS.progress(database).await?),
        ("inventory", migrations::INVENTORY.progress(database).await?),
        ("customers", migrations::CUSTOMERS.progress(database).await?),
    ];
    // Services may share a database or have one each: tables without any applied migration are in another one.
    let here = progress.into_iter().filter(|(_, progress)| progress.applied > 0);
    let tables =
        here.map(|(of, progress)| TablesStatus { of: of.to_owned(), pending_migrations: progress.pending });
    Ok(DatabaseStatus {
        name: name.to_owned(),
        fault: None,
        write_failure: write_failure(database).await,
        tables: tables.collect(),
        clock_ahead_ms: database_now.unix_ms() - midway_ms,
    })
}
