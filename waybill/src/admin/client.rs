use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use serde_json::Value;

use super::server::AdminService;
use super::{ADMIN_PATH, AdminRequest, AdminResponse, Call, ProcessAddress};
use crate::data_dir::{ADMIN_FILE, DataDir};

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
enum Target {
    ThisProcess(AdminService),
    /// The process that holds the lock of DATA_DIR, reached over HTTP.
    RunningProcess {
        client: reqwest::Client,
        at: ProcessAddress,
    },
}

/// Gives up what a connection holds, such as the lock of the files.
pub(super) type Close = Pin<Box<dyn Future<Output = ()> + Send>>;

impl AdminConnection {
    pub(super) fn to_service(service: AdminService, close: Close) -> Self {
        Self { target: Target::ThisProcess(service), close }
    }

    /// Connects to the process whose address is in DATA_DIR.
    pub(super) fn to_process(data_dir: &DataDir) -> anyhow::Result<Self> {
        let path = data_dir.0.join(ADMIN_FILE);
        let unreadable =
            || format!("another process holds DATA_DIR, and {} doesn't name its address", path.display());
        let text = std::fs::read_to_string(&path).with_context(unreadable)?;
        let at = serde_json::from_str(&text).with_context(unreadable)?;
        let target = Target::RunningProcess { client: http_client(LIMIT)?, at };
        Ok(Self { target, close: Box::pin(std::future::ready(())) })
    }

    /// Whether services answer behind the connection, rather than a broker's file alone.
    pub(crate) fn has_services(&self) -> bool {
        match &self.target {
            Target::ThisProcess(service) => service.services.is_some(),
            Target::RunningProcess { .. } => true,
        }
    }

    /// Sends a request, and returns the value of the response that answers it.
    pub(crate) async fn call<A: 'static>(&self, request: AdminRequest) -> anyhow::Result<A> {
        self.call_within(request, LIMIT).await
    }

    pub(crate) async fn call_within<A: 'static>(
        &self,
        request: AdminRequest,
        limit: Duration,
    ) -> anyhow::Result<A> {
        let response = match &self.target {
            // Boxed: requests of every kind make large futures.
            Target::ThisProcess(service) => Box::pin(service.execute(request, limit)).await?,
            Target::RunningProcess { client, at } => Box::pin(send(client, at, &request, limit)).await?,
        };
        let value = response.into_value().downcast();
        Ok(*value.map_err(|_| anyhow!("the response answers another request"))?)
    }

    /// Runs `work` over the connection, which is closed then, however the work ended.
    pub(crate) async fn run<T>(
        self,
        work: impl AsyncFnOnce(&Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let result = work(&self).await;
        self.close.await;
        result
    }
}

async fn send(
    client: &reqwest::Client,
    at: &ProcessAddress,
    request: &AdminRequest,
    limit: Duration,
) -> anyhow::Result<AdminResponse> {
    let no_answer = || format!("no answer from {}", at.address);
    let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    let response = client
        .post(format!("http://{}{ADMIN_PATH}", at.address))
        .bearer_auth(&at.secret)
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

/// An HTTP client for processes of this machine or container, whose requests take no longer than `limit`.
pub(crate) fn http_client(limit: Duration) -> anyhow::Result<reqwest::Client> {
    // The first TLS provider installed in the process stays; every crate here installs ring.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().timeout(limit).no_proxy().build().context("cannot make an HTTP client")
}
