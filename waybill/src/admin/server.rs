use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use axum::extract::{ConnectInfo, DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use bus::clock::Deadline;
use bus::dead_letters::{self, Handled};
use bus::rpc_client::{RpcClient, request};
use bus::transport::SharedTransport;
use schema::customer::Customer;
use schema::ids::CustomerId;
use schema::pattern::{
    CUSTOMER_GET, CUSTOMER_PUT, INVENTORY_ADJUST, INVENTORY_AUDIT, INVENTORY_LEVELS, INVENTORY_PUT,
    INVENTORY_WITHDRAW, ORDER_AUDIT,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use service_kit::config::Secret;
use store::Database;

use super::{ADMIN_PATH, AdminRequest, AdminResponse, Call, DeadLetterCommand, ProcessAddress, inspect};
use crate::data_dir::{self, DataDir};

/// Bytes of one request's body.
const REQUEST_MAX_BYTES: usize = 4 << 20;
/// How long a caller may have the process work on one request.
const LIMIT_MAX: Duration = Duration::from_secs(60);

/// Executes admin requests over a broker, the services behind it and their databases.
pub(crate) struct AdminService {
    transport: SharedTransport,
    pub(super) services: Option<Arc<dyn RpcClient>>,
    databases: Databases,
}

enum Databases {
    Connected(Vec<Database>),
    Files(DataDir),
}

impl AdminService {
    /// In front of running services; `databases` are those that this process is connected to.
    pub(crate) fn new(
        transport: SharedTransport,
        services: Arc<dyn RpcClient>,
        databases: Vec<Database>,
    ) -> Self {
        Self { transport, services: Some(services), databases: Databases::Connected(databases) }
    }

    /// Over the files of a system that isn't running.
    pub(super) fn over_files(transport: SharedTransport, data_dir: DataDir) -> Self {
        Self { transport, services: None, databases: Databases::Files(data_dir) }
    }

    pub(super) async fn execute(
        &self,
        request: AdminRequest,
        limit: Duration,
    ) -> anyhow::Result<AdminResponse> {
        let executed = tokio::time::timeout(limit, self.dispatch(request, Deadline::after(limit))).await;
        executed.unwrap_or_else(|_| Err(anyhow!("no answer within {}", humantime::format_duration(limit))))
    }

    async fn dispatch(&self, request: AdminRequest, deadline: Deadline) -> anyhow::Result<AdminResponse> {
        use {AdminRequest as Request, AdminResponse as Response};
        Ok(match request {
            Request::DeadLetters(command) => Response::DeadLetters(self.dead_letters(command).await?),
            Request::InspectBroker => Response::Broker(inspect::broker(&self.transport).await),
            Request::InspectQueues => Response::Queues(inspect::queues(&self.transport).await),
            Request::InspectDatabases => Response::Databases(match &self.databases {
                Databases::Connected(databases) => inspect::connected_databases(databases).await,
                Databases::Files(data_dir) => inspect::database_files(data_dir).await,
            }),
            Request::InspectClocks => Response::Clocks(match &self.services {
                Some(services) => inspect::clocks(&**services, deadline).await,
                None => Vec::new(),
            }),
            Request::PingCustomerService => {
                let none: [CustomerId; 0] = [];
                let _: Vec<Option<Customer>> = self.request(CUSTOMER_GET, &none, deadline).await?;
                Response::Pong
            }
            Request::AuditOrders(pages) => {
                Response::Orders(self.request(ORDER_AUDIT, &pages, deadline).await?)
            }
            Request::AuditStock(pages) => {
                Response::Stock(self.request(INVENTORY_AUDIT, &pages, deadline).await?)
            }
            Request::StockLevels(of) => {
                Response::StockLevels(self.request(INVENTORY_LEVELS, &of, deadline).await?)
            }
            Request::AdjustStock(by) => {
                Response::Adjusted(self.request(INVENTORY_ADJUST, &by, deadline).await?)
            }
            Request::PutProducts(all) => {
                Response::Products(self.request(INVENTORY_PUT, &all, deadline).await?)
            }
            Request::WithdrawProducts(ids) => {
                Response::Products(self.request(INVENTORY_WITHDRAW, &ids, deadline).await?)
            }
            Request::PutCustomers(all) => {
                Response::Customers(self.request(CUSTOMER_PUT, &all, deadline).await?)
            }
        })
    }

    async fn dead_letters(&self, command: DeadLetterCommand) -> anyhow::Result<Handled> {
        use DeadLetterCommand::{Discard, List, Replay};
        let transport = &self.transport;
        Ok(match command {
            List(which) => Handled { letters: dead_letters::list(transport, &which).await?, stopped: None },
            Replay(which) => dead_letters::replay(transport, &which).await?,
            Discard(which) => dead_letters::discard(transport, &which).await?,
        })
    }

    async fn request<A: DeserializeOwned>(
        &self,
        pattern: &str,
        data: &(impl Serialize + Sync + ?Sized),
        deadline: Deadline,
    ) -> anyhow::Result<A> {
        let Some(services) = &self.services else { bail!("the services are not running") };
        Ok(request(&**services, pattern, data, deadline).await?)
    }
}

/// The running process's HTTP endpoint for [`AdminRequest`]s: from this machine alone, with a secret that stands in
/// DATA_DIR. It refuses every request until [`AdminEndpoint::open`] is called.
#[derive(Clone)]
pub(crate) struct AdminEndpoint {
    secret: Secret,
    service: Arc<OnceLock<AdminService>>,
}

impl AdminEndpoint {
    pub(crate) fn new() -> Self {
        Self { secret: data_dir::random_secret(), service: Arc::default() }
    }

    /// The endpoint's route, to be added to the process's admin endpoints.
    pub(crate) fn routes(&self) -> Router {
        let route = post(answer).layer(DefaultBodyLimit::max(REQUEST_MAX_BYTES)).with_state(self.clone());
        Router::new().route(ADMIN_PATH, route)
    }

    /// Lets `service` execute requests from now on, and writes the endpoint's address and secret into DATA_DIR.
    pub(crate) fn open(
        &self,
        service: AdminService,
        bound: SocketAddr,
        data_dir: &DataDir,
    ) -> anyhow::Result<()> {
        self.service.get_or_init(|| service);
        let (path, secret) = (data_dir.0.join(data_dir::ADMIN_FILE), self.secret.expose().to_owned());
        let at = ProcessAddress { address: reachable_address(bound), secret };
        let text = serde_json::to_string(&at).context("cannot serialise the admin address")?;
        data_dir::write_secret(&path, &text).with_context(|| format!("cannot write {}", path.display()))
    }

    async fn execute(&self, call: Call<AdminRequest>) -> anyhow::Result<AdminResponse> {
        let service = self.service.get().context("the process is still starting")?;
        let limit = Duration::from_millis(call.limit_ms);
        ensure!(limit <= LIMIT_MAX, "a request may take {} at most", humantime::format_duration(LIMIT_MAX));
        service.execute(call.request, limit).await
    }
}

/// The address by which a process of this machine reaches what listens on `bound`.
pub(crate) fn reachable_address(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

async fn answer(
    State(endpoint): State<AdminEndpoint>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Json(call): Json<Call<AdminRequest>>,
) -> Response {
    if !peer.ip().to_canonical().is_loopback() || !carries(&headers, &endpoint.secret) {
        return error(StatusCode::FORBIDDEN, "not the operator");
    }
    match endpoint.execute(call).await {
        Ok(response) => Json(response).into_response(),
        Err(reason) => error(StatusCode::BAD_GATEWAY, &format!("{reason:#}")),
    }
}

fn error(status: StatusCode, reason: &str) -> Response {
    (status, Json(json!({ "error": reason }))).into_response()
}

/// Whether the headers carry the secret; takes the same time wherever the two differ.
fn carries(headers: &HeaderMap, secret: &Secret) -> bool {
    let given = headers.get(header::AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
    let given = given.strip_prefix(b"Bearer ").unwrap_or_default();
    let wanted = secret.expose().as_bytes();
    let differences = given.iter().zip(wanted).fold(0_u8, |found, (given, wanted)| found | (given ^ wanted));
    !wanted.is_empty() && given.len() == wanted.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use bus::clock::SystemClock;
    use bus::topology::{RetryDelays, Topology};
    use embedded_broker::{EmbeddedBroker, Storage};
    use service_kit::config::AdminConfig;
    use service_kit::health::SILENCE_LIMIT;
    use service_kit::{Liveness, Readiness, admin};

    use super::*;
    use crate::admin::{AdminConnection, QueuesStatus, http_client};

    #[tokio::test]
    async fn the_endpoint_executes_requests_that_carry_its_secret() {
        let folder = tempfile::tempdir().unwrap();
        let data_dir = DataDir::new(folder.path());
        let endpoint = AdminEndpoint::new();
        let config = AdminConfig { host: "127.0.0.1".into(), port: 0 };
        let routes =
            admin::routes(&Readiness::default(), &Liveness::new(SILENCE_LIMIT)).merge(endpoint.routes());
        let admin = admin::start(routes, &config).await.unwrap();
        let client = http_client(LIMIT_MAX).unwrap();
        let send = async |secret: &str, body: &str| {
            let request = client.post(format!("http://{}{ADMIN_PATH}", admin.address)).bearer_auth(secret);
            let request = request.header("content-type", "application/json").body(body.to_owned());
            let response = request.send().await.unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        };
        let secret = endpoint.secret.expose();
        let inspect = r#"{"limitMs":5000,"request":"inspectQueues"}"#;
        let starting = r#"{"error":"the process is still starting"}"#.to_owned();
        assert_eq!(send(secret, inspect).await, (502, starting));

        let topology = Topology::new("test", RetryDelays::default());
        let broker = EmbeddedBroker::open(Storage::Memory, topology, Arc::new(SystemClock)).await.unwrap();
        let service = AdminService::over_files(broker.transport("test.1"), data_dir.clone());
        endpoint.open(service, admin.address, &data_dir).unwrap();
        let (status, body) = send(secret, inspect).await;
        assert_eq!((status, body.starts_with(r#"{"queues":{"#)), (200, true), "{body}");
        for wrong in ["", &secret[1..], &format!("{secret}0"), &secret.replace(&secret[..1], "x")] {
            assert_eq!(send(wrong, inspect).await.0, 403, "{wrong:?}");
        }
        assert_eq!(send(secret, "no json").await.0, 400);
        let (status, body) = send(secret, r#"{"limitMs":3600000,"request":"inspectQueues"}"#).await;
        assert_eq!((status, body.as_str()), (502, r#"{"error":"a request may take 1m at most"}"#));

        let connection = AdminConnection::to_process(&data_dir).unwrap();
        let seen: QueuesStatus = connection.call(AdminRequest::InspectQueues).await.unwrap();
        assert!(seen.queues.iter().any(|queue| queue.name == "test.order.commands"));
        let refused = connection.call::<()>(AdminRequest::PutProducts(Vec::new())).await.unwrap_err();
        assert_eq!(refused.to_string(), "the services are not running");
    }
}
