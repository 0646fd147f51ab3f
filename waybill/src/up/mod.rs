//! `waybill up`: everything in one process.

mod config;
mod welcome;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use bus::clock::SystemClock;
use bus::requester::Requester;
use gateway::auth::AuthConfig;
use service_kit::admin::AdminServer;
use service_kit::health::ReadinessHandle;
use service_kit::{Ending, Liveness, Readiness, Shutdown, telemetry};

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
pub(crate) async fn main(args: UpArgs, shutdown: Shutdown) -> anyhow::Result<Ending> {
    let mut config = args.check()?;
    telemetry::init("waybill", &config.log);
    let lock = config.backing.lock()?;
    if config.makes_secret {
        config.backing.data_dir.prepare()?;
        let secret = config.backing.data_dir.jwt_secret()?.expose().to_owned();
        config.gateway.auth = AuthConfig::Mock { secret };
    }
    let readiness = Readiness::new();
    // Before anybody can ask: without conditions it would be ready.
    let started = readiness.condition("start");
    let (admin, desk) = open_desk(AdminServer::new(readiness.clone(), Liveness::new()));
    let admin = admin.start(&config.admin).await?;
    let backing = Backing::open(config.backing.clone(), Arc::new(SystemClock), lock).await?;
    let parts = Parts::of(&shutdown);

    let shop = Shop { config: &config, backing: &backing, parts: &parts, readiness: &readiness };
    let lived = shop.live(&shutdown, admin.address(), &desk, &started).await;
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
    readiness: &'a Readiness,
}

impl Shop<'_> {
    /// Opens, says so, and serves until `shutdown` has drained.
    async fn live(
        &self,
        shutdown: &Shutdown,
        admin: SocketAddr,
        desk: &DeskKeeper,
        started: &ReadinessHandle,
    ) -> anyhow::Result<()> {
        let gateway = self.open(shutdown, admin, desk).await?;
        started.set(true);
        let welcome = Welcome::to(self.config, gateway, admin)?;
        let opened = shutdown.draining().run_until_cancelled(self.ready()).await;
        if let Some(ready) = opened {
            ready?;
            output::print(&welcome.to_string())?;
        }
        self.parts.drain(shutdown, self.readiness, self.config.drain_delay).await;
        Ok(())
    }

    /// Starts every part; answers the gateway's address.
    ///
    /// The gateway comes first, as its port is what is taken most often; until the others are there it isn't ready.
    async fn open(
        &self,
        shutdown: &Shutdown,
        admin: SocketAddr,
        desk: &DeskKeeper,
    ) -> anyhow::Result<SocketAddr> {
        let Self { config, backing, parts, readiness } = self;
        let transport = backing.transport("gateway", &parts.gateway, readiness).await?;
        let clock = backing.clock();
        let address =
            gateway::Service::start(&config.gateway, transport, clock, &parts.gateway, readiness).await?;
        start_customers(&config.services, backing, &parts.stock_and_customers, readiness).await?;
        start_inventory(&config.services, backing, &parts.stock_and_customers, readiness).await?;
        start_orders(&config.services, backing, &parts.orders, readiness).await?;
        if backing.is_embedded() {
            let transport = backing.transport("desk", shutdown, readiness).await?;
            let services =
                Requester::start(Arc::clone(&transport), backing.clock(), shutdown.forced().clone());
            let counter = Counter::new(transport, services, backing.databases().await);
            desk.open(Arc::new(counter), admin, &config.backing.data_dir)?;
        }
        Ok(address)
    }

    async fn ready(&self) -> anyhow::Result<()> {
        let ready = tokio::time::timeout(START_LIMIT, self.readiness.ready()).await;
        ready.map_err(|_| {
            let missing = self.readiness.report().missing.join(", ");
            anyhow!("not ready after {} s, missing: {missing}", START_LIMIT.as_secs())
        })
    }
}

fn farewell(ending: &Ending) -> &'static str {
    match ending {
        Ending::Finished => "Waybill has stopped; everything that had begun was finished.",
        Ending::CutOff(_) => {
            "Waybill was stopped before everything that had begun was finished; nothing accepted is lost."
        }
        Ending::Failed(_) => "Waybill has stopped, as a part of it failed; nothing accepted is lost.",
    }
}
