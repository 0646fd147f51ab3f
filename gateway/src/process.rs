//! The gateway in a process of its own.

use std::sync::Arc;

use bus::clock::SystemClock;
use service_kit::admin::AdminServer;
use service_kit::{Ending, Liveness, Readiness, Shutdown, broker, telemetry};

use crate::config::Arguments;
use crate::service::Service;

/// Runs until told to end.
pub async fn main(arguments: Arguments, shutdown: Shutdown) -> anyhow::Result<Ending> {
    let config = arguments.check()?;
    telemetry::init("gateway", &config.log);
    let (readiness, liveness) = (Readiness::new(), Liveness::new());
    let started = readiness.condition("start");
    let _admin = AdminServer::new(readiness.clone(), liveness).start(&config.admin).await?;
    let transport =
        broker::connect("gateway", &config.rabbitmq_url, &config.bus, &shutdown, &readiness).await?;
    Service::start(&config.gateway, transport, Arc::new(SystemClock), &shutdown, &readiness).await?;
    started.set(true);
    Ok(shutdown.supervise(&readiness, config.drain_delay).await)
}
