use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use bus::amqp::{AmqpConfig, AmqpTransport};
use bus::clock::SystemClock;
use bus::heartbeat::Heartbeat;
use bus::rpc_client::BusRpcClient;
use bus::topology::{RetryDelays, Topology};
use bus::transport::{LinkState, SharedTransport, Transport, TransportError};
use clap::Args;
use embedded_broker::{EmbeddedBroker, Storage};
use service_kit::config::{BrokerAddress, BrokerArgs, ConfigErrors};
use service_kit::{ServiceContext, Shutdown};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::client::AdminConnection;
use super::server::AdminService;
use crate::data_dir::{DataDir, DataDirArgs};
use crate::infrastructure::{Infrastructure, SystemConfig};
use crate::services::StopOrder;

/// How long a broker may take to answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const CONNECT_PAUSE: Duration = Duration::from_millis(100);
/// How long services that are started on the files may take to be ready.
const START_LIMIT: Duration = Duration::from_secs(30);
/// How long a request between services started on the files may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// Where the system is.
#[derive(Args, Debug, Clone)]
#[command(next_help_heading = "Message bus")]
pub(crate) struct AdminAddressArgs {
    #[command(flatten)]
    broker: BrokerArgs,
    /// Prefix of every exchange and queue
    #[arg(long, env = "BUS_NAMESPACE", default_value = "waybill", value_name = "NAME")]
    bus_namespace: String,
    #[command(flatten)]
    data_dir: DataDirArgs,
}

#[derive(Debug, Clone)]
pub(crate) struct AdminAddress {
    /// If there is one, the system is behind this broker; else it is in DATA_DIR.
    pub(crate) broker: Option<BrokerAddress>,
    pub(crate) namespace: String,
    /// Declared with the rest of the topology. A command that doesn't look at retry queues declares none, so that it
    /// creates none that the services don't have.
    pub(crate) retry_delays: RetryDelays,
    pub(crate) data_dir: DataDir,
}

impl AdminAddressArgs {
    pub(crate) fn check(&self, errors: &mut ConfigErrors) -> AdminAddress {
        AdminAddress {
            broker: self.broker.check(errors),
            namespace: errors.name("BUS_NAMESPACE", &self.bus_namespace),
            retry_delays: RetryDelays(Vec::new()),
            data_dir: self.data_dir.check(errors),
        }
    }

    /// Connects, for a command that takes no other configuration.
    pub(crate) async fn connect(&self) -> anyhow::Result<AdminConnection> {
        let mut errors = ConfigErrors::default();
        let address = self.check(&mut errors);
        errors.finish(address)?.connect().await
    }
}

impl AdminAddress {
    /// Connects to the system: behind the broker of RABBITMQ_URL; else to the process that holds DATA_DIR, or, if none
    /// runs, to the broker's file there, without services.
    pub(crate) async fn connect(self) -> anyhow::Result<AdminConnection> {
        if let Some(address) = &self.broker {
            return connect_to_broker(address, self.topology()).await;
        }
        let file = self.data_dir.database("broker");
        ensure!(
            file.exists(),
            "there is no system in {}; name its folder by DATA_DIR, or its broker by RABBITMQ_URL, or start one by \
             `waybill up`",
            self.data_dir.0.display()
        );
        let Some(lock) = self.data_dir.try_lock()? else {
            return AdminConnection::to_process(&self.data_dir);
        };
        let broker =
            EmbeddedBroker::open(Storage::File(file.clone()), self.topology(), Arc::new(SystemClock))
                .await
                .with_context(|| format!("cannot open {}", file.display()))?;
        let service = AdminService::over_files(broker.transport("operator.tools"), self.data_dir);
        let close = Box::pin(async move {
            broker.close().await;
            drop(lock);
        });
        Ok(AdminConnection::to_service(service, close))
    }

    pub(crate) fn topology(&self) -> Topology {
        Topology::new(self.namespace.clone(), self.retry_delays.clone())
    }
}

impl SystemConfig {
    /// Connects as [`AdminAddress::connect`] does; but if no process runs, it starts inventory-service and
    /// customer-service on the files in DATA_DIR, which it creates if they don't exist.
    pub(crate) async fn connect(self) -> anyhow::Result<AdminConnection> {
        if let Some(address) = &self.broker {
            return connect_to_broker(address, service_kit::broker::topology(&self.bus)).await;
        }
        self.data_dir.prepare()?;
        let Some(lock) = self.data_dir.try_lock()? else {
            return AdminConnection::to_process(&self.data_dir);
        };
        let infrastructure = Infrastructure::open(self, Arc::new(SystemClock), Some(lock)).await?;
        let context = ServiceContext::new(Arc::new(SystemClock), Shutdown::default(), REQUEST_LIMIT);
        let stop_order = StopOrder::new(&context.shutdown);
        let service_context = context.with_shutdown(&stop_order.stock_and_customers);
        infrastructure.start_inventory(&service_context).await?;
        infrastructure.start_customers(&service_context).await?;
        let ready = tokio::time::timeout(START_LIMIT, context.readiness.ready()).await;
        ready.context("the services didn't start in time")?;
        let transport = infrastructure.transport("waybill", &context).await?;
        let services = context.rpc_client("waybill", &transport);
        let service = AdminService::new(transport, services, infrastructure.databases().await);
        let close = Box::pin(async move {
            stop_order.stop().await;
            context.shutdown.force();
            infrastructure.close().await;
        });
        Ok(AdminConnection::to_service(service, close))
    }
}

/// A broker that refuses a declaration is connected to all the same, so that `doctor` can say so.
async fn connect_to_broker(address: &BrokerAddress, topology: Topology) -> anyhow::Result<AdminConnection> {
    let owner = format!("operator.{:08x}", rand::random::<u32>());
    let mut config = AmqpConfig::new(address.urls.expose(), owner, topology);
    config.root_certificates.clone_from(&address.root_certificates);
    let transport = AmqpTransport::connect(config).map_err(|error| anyhow!("RABBITMQ_URL: {error}"))?;
    let transport: SharedTransport = Arc::new(transport);
    wait_until_connected(&*transport).await?;
    let stop = CancellationToken::new();
    let services =
        BusRpcClient::start(Arc::clone(&transport), Arc::new(SystemClock), stop.clone(), Heartbeat::new());
    let service = AdminService::new(Arc::clone(&transport), services, Vec::new());
    let close = Box::pin(async move {
        stop.cancel();
        transport.close().await;
    });
    Ok(AdminConnection::to_service(service, close))
}

async fn wait_until_connected(transport: &dyn Transport) -> anyhow::Result<()> {
    let deadline = Instant::now() + CONNECT_LIMIT;
    loop {
        match transport.declare().await {
            Ok(()) | Err(TransportError::Refused(_)) => return Ok(()),
            Err(_) if Instant::now() < deadline => tokio::time::sleep(CONNECT_PAUSE).await,
            Err(error) => {
                let reason = match &*transport.link_state().borrow() {
                    LinkState::Down(reason) => reason.clone(),
                    LinkState::Up { .. } | LinkState::Blocked { .. } => error.to_string(),
                };
                bail!("cannot reach the broker (RABBITMQ_URL): {reason}");
            }
        }
    }
}
