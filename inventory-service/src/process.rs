//! The service in a process of its own.

use std::sync::Arc;

use anyhow::Context as _;
use bus::clock::{Clock, SystemClock};
use service_kit::admin::AdminServer;
use service_kit::broker::{self, START_PATIENCE};
use service_kit::{Ending, Liveness, Readiness, Shutdown, telemetry};
use store::Database;

use crate::config::Arguments;
use crate::service::Service;

/// Runs until told to end.
pub async fn main(arguments: Arguments, shutdown: Shutdown) -> anyhow::Result<Ending> {
    let config = arguments.check()?;
    telemetry::init("inventory-service", &config.log);
    let (readiness, liveness) = (Readiness::new(), Liveness::new());
    let started = readiness.condition("start");
    let _admin = AdminServer::new(readiness.clone(), liveness).start(&config.admin).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let url = config.database_url.expose();
    let database = Database::connect_within(url, Arc::clone(&clock), START_PATIENCE, shutdown.draining())
        .await
        .context("cannot reach the database (DATABASE_URL)")?;
    let transport =
        broker::connect("inventory-service", &config.rabbitmq_url, &config.bus, &shutdown, &readiness)
            .await?;
    Service::start(&config.service, transport.clone(), database, clock, &shutdown, &readiness).await?;
    started.set(true);
    let ending = shutdown.supervise(&readiness, config.drain_delay).await;
    broker::close(&*transport).await;
    Ok(ending)
}
