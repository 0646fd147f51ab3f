use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use bus::dead_letters::Handled;
use schema::customer::Customer;
use schema::domain_error::DomainResult;
use schema::inventory_messages::{Adjust, PutProduct, StockAudit, StockAudited};
use schema::order_messages::{OrderAudit, OrderAudited};
use schema::product::Product;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::server::{ADMIN_PATH, AdminService, Call};
use super::{AdminRequest, AdminResponse, BrokerStatus, DatabaseStatus, DeadLetterCommand, QueuesStatus};
use crate::data_dir::DataDir;

/// How long a request may take if the caller names no limit: a batch of records is written to a disk that may be busy.
const LIMIT: Duration = Duration::from_secs(30);
/// How much longer the running process's answer may take than the request itself.
const HTTP_GRACE: Duration = Duration::from_secs(2);

/// A connection to a system, over which an operator's commands administer it.
pub(crate) struct AdminConnection {
    target: Target,
    close: Close,
}

/// What executes the requests.
pub(super) enum Target {
    ThisProcess(AdminService),
    RunningProcess(RunningProcess),
}

/// Gives up what a connection holds, such as the lock of the files.
pub(super) type Close = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Takes the value out of the one response that answers the request.
macro_rules! expect {
    ($response:expr, $variant:ident) => {
        match $response {
            AdminResponse::$variant(value) => Ok(value),
            other => Err(unexpected(&other)),
        }
    };
}

impl AdminConnection {
    pub(super) fn new(target: Target, close: Close) -> Self {
        Self { target, close }
    }

    /// Whether services answer behind the connection, rather than a broker's file alone.
    pub(crate) fn has_services(&self) -> bool {
        match &self.target {
            Target::ThisProcess(service) => service.has_services(),
            Target::RunningProcess(_) => true,
        }
    }

    pub(crate) async fn dead_letters(&self, command: DeadLetterCommand) -> anyhow::Result<Handled> {
        expect!(self.call(AdminRequest::DeadLetters(command), LIMIT).await?, DeadLetters)
    }

    pub(crate) async fn inspect_broker(&self) -> anyhow::Result<BrokerStatus> {
        expect!(self.call(AdminRequest::InspectBroker, LIMIT).await?, Broker)
    }

    pub(crate) async fn inspect_queues(&self) -> anyhow::Result<QueuesStatus> {
        expect!(self.call(AdminRequest::InspectQueues, LIMIT).await?, Queues)
    }

    pub(crate) async fn inspect_databases(&self) -> anyhow::Result<Vec<DatabaseStatus>> {
        expect!(self.call(AdminRequest::InspectDatabases, LIMIT).await?, Databases)
    }

    pub(crate) async fn ping_customer_service(&self, limit: Duration) -> anyhow::Result<()> {
        match self.call(AdminRequest::PingCustomerService, limit).await? {
            AdminResponse::Pong => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    pub(crate) async fn audit_orders(
        &self,
        pages: Vec<OrderAudit>,
        limit: Duration,
    ) -> anyhow::Result<Vec<OrderAudited>> {
        expect!(self.call(AdminRequest::AuditOrders(pages), limit).await?, Orders)
    }

    pub(crate) async fn audit_stock(
        &self,
        pages: Vec<StockAudit>,
        limit: Duration,
    ) -> anyhow::Result<Vec<StockAudited>> {
        expect!(self.call(AdminRequest::AuditStock(pages), limit).await?, Stock)
    }

    pub(crate) async fn adjust_stock(
        &self,
        adjustments: Vec<Adjust>,
    ) -> anyhow::Result<Vec<DomainResult<Product>>> {
        expect!(self.call(AdminRequest::AdjustStock(adjustments), LIMIT).await?, Products)
    }

    pub(crate) async fn put_products(
        &self,
        products: Vec<PutProduct>,
    ) -> anyhow::Result<Vec<DomainResult<Product>>> {
        expect!(self.call(AdminRequest::PutProducts(products), LIMIT).await?, Products)
    }

    pub(crate) async fn put_customers(
        &self,
        customers: Vec<Customer>,
    ) -> anyhow::Result<Vec<DomainResult<Customer>>> {
        expect!(self.call(AdminRequest::PutCustomers(customers), LIMIT).await?, Customers)
    }

    async fn call(&self, request: AdminRequest, limit: Duration) -> anyhow::Result<AdminResponse> {
        match &self.target {
            // Boxed: requests of every kind make large futures.
            Target::ThisProcess(service) => Box::pin(service.execute(request, limit)).await,
            Target::RunningProcess(process) => Box::pin(process.call(&request, limit)).await,
        }
    }

    pub(crate) async fn close(self) {
        self.close.await;
    }
}

fn unexpected(response: &AdminResponse) -> anyhow::Error {
    anyhow!("the response answers another request: {response:?}")
}

/// How the running process is reached, from a file in DATA_DIR that its owner alone can read.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProcessAddress {
    /// The address of the admin endpoints.
    pub(super) address: SocketAddr,
    /// The bearer token that [`ADMIN_PATH`] demands; new with each start.
    pub(super) secret: String,
}

/// The process that holds the lock of DATA_DIR, reached over HTTP.
pub(super) struct RunningProcess {
    client: reqwest::Client,
    at: ProcessAddress,
}

impl RunningProcess {
    /// Reads the process's address from DATA_DIR.
    pub(super) fn find(data_dir: &DataDir) -> anyhow::Result<Self> {
        let path = data_dir.admin_file();
        let unreadable =
            || format!("another process holds DATA_DIR, and {} doesn't name its address", path.display());
        let text = std::fs::read_to_string(&path).with_context(unreadable)?;
        let at = serde_json::from_str(&text).with_context(unreadable)?;
        Ok(Self { client: http_client(LIMIT)?, at })
    }

    async fn call(&self, request: &AdminRequest, limit: Duration) -> anyhow::Result<AdminResponse> {
        let no_answer = || format!("no answer from {}", self.at.address);
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let response = self
            .client
            .post(format!("http://{}{ADMIN_PATH}", self.at.address))
            .bearer_auth(&self.at.secret)
            .timeout(limit + HTTP_GRACE)
            .json(&Call { limit_ms, request })
            .send()
            .await
            .with_context(no_answer)?;
        let status = response.status();
        let body = response.text().await.with_context(no_answer)?;
        if status.is_success() {
            return serde_json::from_str(&body).context("the running process is of another version");
        }
        let body: Value = serde_json::from_str(&body).unwrap_or_default();
        bail!(body["error"].as_str().map_or_else(|| status.to_string(), str::to_owned))
    }
}

/// An HTTP client for processes of this machine or container, whose requests take no longer than `limit`.
pub(crate) fn http_client(limit: Duration) -> anyhow::Result<reqwest::Client> {
    // The first TLS provider installed in the process stays; every crate here installs ring.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(limit).no_proxy().build().context("cannot make an HTTP client")
}
