//! The broker as a process stands on it: connected to at the start, and part of readiness from then on.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use bus::amqp::{AmqpConfig, AmqpTransport};
use bus::topology::{RetryDelays, Topology};
use bus::transport::{Link, Transport};
use uuid::Uuid;

use crate::config::{BusConfig, Secret};
use crate::{Readiness, Shutdown};

/// How long a process waits at its start for a broker or a database that isn't there yet: longer than it takes to
/// start them all at once.
pub const START_PATIENCE: Duration = Duration::from_secs(30);

/// How long leaving the broker may take; what is then unacknowledged is delivered again.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);

/// Connects as `<process>.<instance>` and waits, bounded, until everything is declared.
pub async fn connect(
    process: &str,
    url: &Secret,
    config: &BusConfig,
    shutdown: &Shutdown,
    readiness: &Readiness,
) -> anyhow::Result<Arc<AmqpTransport>> {
    let instance = Uuid::new_v4().simple().to_string();
    let owner = format!("{process}.{}", &instance[..8]);
    let transport = AmqpTransport::connect(AmqpConfig::new(url.expose(), owner, topology(config)))
        .map_err(|error| anyhow!("RABBITMQ_URL: {error}"))?;
    let transport = Arc::new(transport);
    follow(&*transport, shutdown, readiness);
    match shutdown.draining().run_until_cancelled(transport.wait_until_up(START_PATIENCE)).await {
        Some(Err(Link::Down(reason))) => Err(anyhow!("cannot reach the broker (RABBITMQ_URL): {reason}")),
        // A blocked broker is a broker: what publishes says so itself.
        Some(_) | None => Ok(transport),
    }
}

/// Leaves the broker once everything is finished, so that acknowledgements and replies on their way still get there.
pub async fn close(transport: &dyn Transport) {
    if tokio::time::timeout(CLOSE_LIMIT, transport.close()).await.is_err() {
        tracing::warn!("the connection to the broker did not close in time");
    }
}

/// The queues and exchanges of a configuration.
pub fn topology(config: &BusConfig) -> Topology {
    Topology::new(config.namespace.clone(), RetryDelays(config.retry_delays.clone()))
}

/// Keeps the condition `broker` true to how the connection stands.
pub fn follow(transport: &dyn Transport, shutdown: &Shutdown, readiness: &Readiness) {
    let (mut link, condition) = (transport.link(), readiness.condition("broker"));
    let forced = shutdown.forced().clone();
    tokio::spawn(forced.run_until_cancelled_owned(async move {
        loop {
            match &*link.borrow_and_update() {
                Link::Up { .. } => condition.set(true),
                Link::Down(reason) => condition.set_missing(reason),
                Link::Blocked { reason, .. } => condition.set_missing(format_args!("blocked: {reason}")),
            }
            if link.changed().await.is_err() {
                return condition.set_missing("closed");
            }
        }
    }));
}
