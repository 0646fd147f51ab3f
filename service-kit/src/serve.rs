//! A process that hosts one service.

use std::sync::Arc;

use bus::clock::SystemClock;
use bus::transport::SharedTransport;

use crate::admin::AdminServer;
use crate::broker::{self, START_TIMEOUT};
use crate::config::ProcessConfig;
use crate::shutdown::GRACE;
use crate::{ExitStatus, ServiceContext, Shutdown, telemetry};

/// Starts a service where logs, admin endpoints and the broker are there for it, and hosts it until told to end.
///
/// Told so while it is still starting, whatever that waits for, it ends at once and in order.
pub async fn serve(
    name: &'static str,
    config: &ProcessConfig,
    shutdown: Shutdown,
    start: impl AsyncFnOnce(&ServiceContext, SharedTransport) -> anyhow::Result<()>,
) -> anyhow::Result<ExitStatus> {
    telemetry::init(name, &config.log);
    let host = ServiceContext::new(Arc::new(SystemClock), shutdown.clone(), config.bus.request_timeout);
    // Before anybody can rpc: without conditions it would be ready.
    let started = host.readiness.condition("start");
    let admin = AdminServer::new(host.readiness.clone(), host.liveness.clone());
    let _admin = admin.start(&config.admin).await?;
    let starting = async {
        let transport =
            broker::connect(name, &config.rabbitmq_url, &config.bus, START_TIMEOUT, &host).await?;
        start(&host, Arc::clone(&transport)).await?;
        anyhow::Ok(transport)
    };
    let Some(transport) = shutdown.draining().run_until_cancelled(starting).await.transpose()? else {
        tracing::info!("told to end before it had started");
        return Ok(shutdown.stop(GRACE).await);
    };
    started.set(true);
    let ending = shutdown.supervise(&host.readiness, config.drain_delay).await;
    broker::close(&*transport).await;
    Ok(ending)
}
