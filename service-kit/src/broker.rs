//! The broker as a process stands on it: connected to at the start, and part of readiness from then on.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use bus::amqp::{AmqpConfig, AmqpTransport};
use bus::topology::{RetryDelays, Topology};
use bus::transport::{LinkState, SharedTransport, Transport};
use uuid::Uuid;

use crate::ServiceContext;
use crate::config::{BusConfig, Secret};

/// How long a process waits at its start for a broker or a database that isn't there yet: longer than it takes to
/// start them all at once.
pub const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How long leaving the broker may take; what is then unacknowledged is delivered again.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);

/// Connects as `<process>.<instance>` and waits, for as long as `patience` lasts, until everything is declared.
pub async fn connect(
    process: &str,
    url: &Secret,
    config: &BusConfig,
    patience: Duration,
    host: &ServiceContext,
) -> anyhow::Result<SharedTransport> {
    let instance = Uuid::new_v4().simple().to_string();
    let owner = format!("{process}.{}", &instance[..8]);
    let mut amqp = AmqpConfig::new(url.expose(), owner, topology(config));
    amqp.heartbeat = host.heartbeat(format!("{process} connection"), &[]);
    let transport = AmqpTransport::connect(amqp).map_err(|error| anyhow!("RABBITMQ_URL: {error}"))?;
    follow(process, &transport, host);
    if let Err(LinkState::Down(reason)) = transport.wait_until_up(patience).await {
        return Err(anyhow!("cannot reach the broker (RABBITMQ_URL): {reason}"));
    }
    // A blocked broker is a broker: what publishes says so itself.
    let transport: SharedTransport = Arc::new(transport);
    #[cfg(debug_assertions)]
    let transport = crate::fault_injection::unconfirmed(transport);
    Ok(transport)
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
fn follow(process: &str, transport: &dyn Transport, host: &ServiceContext) {
    let (mut link, condition) = (transport.link_state(), host.readiness.condition("broker"));
    let connected = metrics::gauge!("waybill_broker_connected", "process" => process.to_owned());
    let blocked = metrics::gauge!("waybill_broker_blocked", "process" => process.to_owned());
    let forced = host.shutdown.forced().clone();
    tokio::spawn(forced.run_until_cancelled_owned(async move {
        loop {
            let now = link.borrow_and_update().clone();
            connected.set(f64::from(!matches!(now, LinkState::Down(_))));
            blocked.set(f64::from(matches!(now, LinkState::Blocked { .. })));
            match now {
                LinkState::Up { .. } => condition.set(true),
                LinkState::Down(reason) => condition.set_missing(reason),
                LinkState::Blocked { reason, .. } => condition.set_missing(format_args!("blocked: {reason}")),
            }
            if link.changed().await.is_err() {
                return condition.set_missing("closed");
            }
        }
    }));
}
