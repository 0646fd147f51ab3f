use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bus::clock::SystemClock;
use bus::rpc_client::{BusRpcClient, RpcClient};
use embedded_broker::DataDirLock;
use service_kit::{ServiceContext, Shutdown};

use super::{DeskConfig, PATIENCE};
use crate::backing::{Backing, BackingConfig};
use crate::shop::{Parts, start_customers, start_inventory};

const START_LIMIT: Duration = Duration::from_secs(30);

/// A shop whose services this process asks over their broker: its own for the while, or other processes'.
pub(super) struct StoppedShop {
    rpc_client: Arc<BusRpcClient>,
    parts: Parts,
    backing: Backing,
    whole: Shutdown,
}

impl StoppedShop {
    /// Connects to the broker that the services listen at.
    pub(super) async fn behind_its_broker(config: BackingConfig) -> anyhow::Result<Self> {
        let backing = Backing::open(config, Arc::new(SystemClock), None).await?;
        let host = ServiceContext::new(backing.clock(), Shutdown::new(), PATIENCE);
        Self::ask_over(backing, host, Parts::default()).await
    }

    /// Opens the files and starts the services that the operator's commands need, and no gateway.
    pub(super) async fn open(config: DeskConfig, lock: DataDirLock) -> anyhow::Result<Self> {
        let backing = Backing::open(config.backing, Arc::new(SystemClock), Some(lock)).await?;
        let host = ServiceContext::new(backing.clock(), Shutdown::new(), PATIENCE);
        let parts = Parts::of(&host.shutdown);
        let services = host.with_shutdown(&parts.stock_and_customers);
        start_inventory(&config.services, &backing, &services).await?;
        start_customers(&config.services, &backing, &services).await?;
        tokio::time::timeout(START_LIMIT, host.readiness.ready())
            .await
            .context("the services didn't start in time")?;
        Self::ask_over(backing, host, parts).await
    }

    async fn ask_over(backing: Backing, host: ServiceContext, parts: Parts) -> anyhow::Result<Self> {
        let transport = backing.transport("waybill", &host).await?;
        let rpc_client = host.rpc_client("waybill", &transport);
        Ok(Self { rpc_client, parts, backing, whole: host.shutdown })
    }

    pub(super) fn rpc_client(&self) -> Arc<dyn RpcClient> {
        Arc::clone(&self.rpc_client) as Arc<dyn RpcClient>
    }

    pub(super) async fn close(self) {
        self.parts.stop().await;
        self.whole.force();
        drop(self.rpc_client);
        self.backing.close().await;
    }
}
