//! `waybill up`: everything in one process.

mod config;
mod welcome;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use bus::clock::SystemClock;
use gateway::auth::AuthConfig;
use service_kit::admin::AdminServer;
use service_kit::health::ReadinessHandle;
use service_kit::{ExitStatus, ServiceContext, Shutdown, telemetry};

use crate::backing::Backing;
use crate::desk::{DeskKeeper, open_desk};
use crate::operator::counter::Counter;
use crate::output;
use crate::shop::{Parts, start_customers, start_inventory, start_orders};

pub(crate) use config::{DEFAULTS, UpArgs};

use config::UpConfig;
use welcome::Welcome;

/// How long the parts may take to find one another.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Runs until told to end.
pub(crate) async fn main(args: UpArgs, shutdown: Shutdown) -> anyhow::Result<ExitStatus> {
    let mut config = args.check()?;
    telemetry::init("waybill", &config.log);
    let lock = config.backing.lock()?;
    if config.makes_secret {
        config.backing.data_dir.prepare()?;
        let secret = config.backing.data_dir.jwt_secret()?.expose().to_owned();
        config.gateway.auth = AuthConfig::Mock { secret };
    }
    let host =
        ServiceContext::new(Arc::new(SystemClock), shutdown.clone(), config.backing.bus.request_timeout);
    // Before anybody can rpc: without conditions it would be ready.
    let started = host.readiness.condition("start");
    let (admin, desk) = open_desk(AdminServer::new(host.readiness.clone(), host.liveness.clone()));
    let admin = admin.start(&config.admin).await?;
    let backing = Backing::open(config.backing.clone(), Arc::clone(&host.clock), lock).await?;
    let parts = Parts::of(&shutdown);

    let shop = Shop { config: &config, backing: &backing, parts: &parts, host: &host };
    let lived = shop.live(admin.address(), &desk, &started).await;
    let stopped = parts.stop().await;
    shutdown.force();
    backing.close().await;
    lived?;
    output::print(farewell(&stopped))?;
    Ok(stopped)
}

/// What a shop is made of while it is open.
struct Shop<'a> {
    config: &'a UpConfig,
    backing: &'a Backing,
    parts: &'a Parts,
    host: &'a ServiceContext,
}

impl Shop<'_> {
    /// Opens, says so, and serves until the host has drained. Told to end while it is still opening, whatever that waits
    /// for, it returns at once.
    async fn live(
        &self,
        admin: SocketAddr,
        desk: &DeskKeeper,
        started: &ReadinessHandle,
    ) -> anyhow::Result<()> {
        let ServiceContext { shutdown, readiness, .. } = self.host;
        let opening = shutdown.draining().run_until_cancelled(self.open(admin, desk));
        let Some(gateway) = opening.await.transpose()? else { return Ok(()) };
        started.set(true);
        let welcome = Welcome::to(self.config, gateway, admin)?;
        let opened = shutdown.draining().run_until_cancelled(self.ready()).await;
        if let Some(ready) = opened {
            ready?;
            output::print(&welcome.to_string())?;
        }
        self.parts.drain(shutdown, readiness, self.config.drain_delay).await;
        Ok(())
    }

    /// Starts every part; answers the gateway's address.
    ///
    /// The gateway comes first, as its port is what is taken most often; until the others are there it isn't ready.
    async fn open(&self, admin: SocketAddr, desk: &DeskKeeper) -> anyhow::Result<SocketAddr> {
        let Self { config, backing, parts, host } = self;
        let gateway = host.with_shutdown(&parts.gateway);
        let transport = backing.transport("gateway", &gateway).await?;
        let address = gateway::Service::start(&config.gateway, &gateway, transport).await?;
        let stock_and_customers = host.with_shutdown(&parts.stock_and_customers);
        start_customers(&config.services, backing, &stock_and_customers).await?;
        start_inventory(&config.services, backing, &stock_and_customers).await?;
        start_orders(&config.services, backing, &host.with_shutdown(&parts.orders)).await?;
        if backing.is_embedded() {
            let transport = backing.transport("desk", host).await?;
            let services = host.rpc_client("desk", &transport);
            let counter = Counter::new(transport, services, backing.databases().await);
            desk.open(Arc::new(counter), admin, &config.backing.data_dir)?;
        }
        Ok(address)
    }

    async fn ready(&self) -> anyhow::Result<()> {
        let ready = tokio::time::timeout(START_LIMIT, self.host.readiness.ready()).await;
        ready.map_err(|_| {
            let missing = self.host.readiness.report().missing.join(", ");
            anyhow!("not ready after {} s, missing: {missing}", START_LIMIT.as_secs())
        })
    }
}

fn farewell(ending: &ExitStatus) -> &'static str {
    match ending {
        ExitStatus::Finished => "Waybill has stopped; everything that had begun was finished.",
        ExitStatus::CutOff(_) => {
            "Waybill was stopped before everything that had begun was finished; nothing accepted is lost."
        }
        ExitStatus::Failed(_) => "Waybill has stopped, as a part of it failed; nothing accepted is lost.",
    }
}
