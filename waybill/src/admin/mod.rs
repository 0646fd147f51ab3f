//! Administers a system: typed requests, answered by the process that runs it, behind its broker, or from its files.
//!
//! [`connect`](AdminAddress::connect) finds the system and gives an [`AdminConnection`]. What it asks is executed by an
//! [`AdminService`]: in this process over the broker or the files, or in the running process,
//! whose [`AdminEndpoint`] takes the request over HTTP.

mod client;
mod connect;
mod inspect;
mod server;

use std::any::Any;
use std::net::SocketAddr;

use bus::dead_letters::{Handled, Selection};
use bus::transport::QueueDepth;
use schema::clock::SenderClock;
use schema::customer::Customer;
use schema::domain_error::DomainResult;
use schema::ids::ProductId;
use schema::inventory_messages::{Adjust, Adjusted, PutProduct, StockAudited, StockLevels};
use schema::order_messages::{AuditPage, OrderAudited};
use schema::product::Product;
use serde::{Deserialize, Serialize};

pub(crate) use client::{AdminConnection, http_client};
pub(crate) use connect::{AdminAddress, AdminAddressArgs};
pub(crate) use inspect::database_at;
pub(crate) use server::{AdminEndpoint, AdminService, reachable_address};

/// The path of the admin requests, below the address of the admin endpoints.
const ADMIN_PATH: &str = "/admin";

/// What an operator's command asks of a system. This list is also all that the running process lets an operator do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum AdminRequest {
    DeadLetters(DeadLetterCommand),
    InspectBroker,
    InspectQueues,
    InspectDatabases,
    InspectClocks,
    PingCustomerService,
    AuditOrders(Vec<AuditPage>),
    AuditStock(Vec<AuditPage>),
    StockLevels(Vec<StockLevels>),
    AdjustStock(Vec<Adjust>),
    PutProducts(Vec<PutProduct>),
    WithdrawProducts(Vec<ProductId>),
    PutCustomers(Vec<Customer>),
}

/// The answer to the [`AdminRequest`] of each kind.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum AdminResponse {
    DeadLetters(Handled),
    Broker(BrokerStatus),
    Queues(QueuesStatus),
    Databases(Vec<DatabaseStatus>),
    Clocks(Vec<ClockStatus>),
    Pong,
    Orders(Vec<OrderAudited>),
    Stock(Vec<StockAudited>),
    StockLevels(Vec<Vec<i64>>),
    Adjusted(Vec<DomainResult<Adjusted>>),
    Products(Vec<DomainResult<Product>>),
    Customers(Vec<DomainResult<Customer>>),
}

impl AdminResponse {
    fn into_value(self) -> Box<dyn Any> {
        match self {
            Self::DeadLetters(value) => Box::new(value),
            Self::Broker(value) => Box::new(value),
            Self::Queues(value) => Box::new(value),
            Self::Databases(value) => Box::new(value),
            Self::Clocks(value) => Box::new(value),
            Self::Pong => Box::new(()),
            Self::Orders(value) => Box::new(value),
            Self::Stock(value) => Box::new(value),
            Self::StockLevels(value) => Box::new(value),
            Self::Adjusted(value) => Box::new(value),
            Self::Products(value) => Box::new(value),
            Self::Customers(value) => Box::new(value),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum DeadLetterCommand {
    List(Selection),
    Replay(Selection),
    Discard(Selection),
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BrokerStatus {
    /// Why there is no connection to it; nothing behind it is known then.
    pub(crate) unreachable: Option<String>,
    /// The declarations that it refuses, naming each queue and the argument that differs.
    pub(crate) refused: Option<String>,
    /// Why it accepts no publishing now.
    pub(crate) blocked: Option<String>,
    pub(crate) fault: Option<String>,
}

/// The queues of the topology, as far as the broker answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QueuesStatus {
    pub(crate) queues: Vec<QueueStatus>,
    /// The last error of the broker about a queue.
    pub(crate) fault: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QueueStatus {
    pub(crate) name: String,
    pub(crate) role: QueueRole,
    /// None if the queue doesn't exist.
    pub(crate) depth: Option<QueueDepth>,
}

impl QueueStatus {
    /// Whether a service should consume the queue, and none does.
    pub(crate) fn lacks_consumers(&self) -> bool {
        let unconsumed = self.depth.is_some_and(|depth| depth.consumers == 0);
        unconsumed && matches!(self.role, QueueRole::Requests | QueueRole::Work)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum QueueRole {
    Requests,
    Work,
    Retry,
    Dead,
}

/// A database, under the name that the operator knows it by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DatabaseStatus {
    pub(crate) name: String,
    /// Why it doesn't answer.
    pub(crate) fault: Option<String>,
    /// That it takes no writes, or took one not long ago, and why.
    pub(crate) write_failure: Option<String>,
    /// The services whose tables it holds.
    pub(crate) tables: Vec<TablesStatus>,
    /// Milliseconds that its clock is ahead of the inspecting process's.
    pub(crate) clock_ahead_ms: i64,
}

/// The clock of a service, and of the processes that send it requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClockStatus {
    pub(crate) service: String,
    /// Milliseconds that it is ahead of the inspecting process's, half of the response's journey included.
    pub(crate) ahead_ms: i64,
    /// By how much others are ahead of the service's.
    pub(crate) senders: Vec<SenderClock>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TablesStatus {
    pub(crate) of: String,
    pub(crate) pending_migrations: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Call<R> {
    limit_ms: u64,
    request: R,
}

/// How the running process is reached, from a file in DATA_DIR that its owner alone can read.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProcessAddress {
    /// The address of the admin endpoints.
    address: SocketAddr,
    /// The bearer token that [`ADMIN_PATH`] demands; new with each start.
    secret: String,
}
