//! The connection of a process to the broker, and its state as a condition of readiness.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use bus::amqp::{AmqpConfig, AmqpTransport};
use bus::topology::{Part, RetryDelays, Topology};
use bus::transport::{LinkState, SharedTransport, Transport};
use uuid::Uuid;

use crate::ServiceContext;
use crate::config::{BrokerAddress, BusConfig};

/// How long a starting process waits for a broker or a database: longer than it takes to start all of them at once.
pub const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How long closing the connection may take; the broker delivers again what is then unacknowledged.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);

/// Connects as `<process>.<instance>` and waits, for `timeout` at most, until the process's part of the topology is
/// declared, or there.
pub async fn connect(
    process: &str,
    address: &BrokerAddress,
    config: &BusConfig,
    timeout: Duration,
    context: &ServiceContext,
) -> anyhow::Result<SharedTransport> {
    let instance = Uuid::new_v4().simple().to_string();
    let owner = format!("{process}.{}", &instance[..8]);
    let topology = topology(config).part(Part::of_process(process));
    let mut amqp = AmqpConfig::new(address.urls.expose(), owner, topology);
    amqp.root_certificates.clone_from(&address.root_certificates);
    amqp.heartbeat = context.heartbeat(format!("{process} connection"), &[]);
    let transport = AmqpTransport::connect(amqp).map_err(|error| anyhow!("RABBITMQ_URL: {error}"))?;
    follow(process, &transport, context);
    if let Err(LinkState::Down(reason)) = transport.wait_until_up(timeout).await {
        return Err(anyhow!("cannot reach the broker (RABBITMQ_URL): {reason}"));
    }
    // A blocked broker counts as connected: publishing reports it.
    let transport: SharedTransport = Arc::new(transport);
    #[cfg(feature = "fault-injection")]
    let transport = crate::fault_injection::unconfirmed(transport);
    Ok(transport)
}

/// Closes the connection after all work, so that the last acknowledgements and replies still reach the broker.
pub async fn close(transport: &dyn Transport) {
    if tokio::time::timeout(CLOSE_TIMEOUT, transport.close()).await.is_err() {
        tracing::warn!("broker connection did not close in time");
    }
}

pub fn topology(config: &BusConfig) -> Topology {
    Topology::new(config.namespace.clone(), RetryDelays(config.retry_delays.clone()))
}

/// Sets the condition `broker` and the gauges to the state of the connection. [`connect`] does so itself.
pub fn follow(process: &str, transport: &dyn Transport, context: &ServiceContext) {
    let (mut link, condition) = (transport.link_state(), context.readiness.condition("broker"));
    let connected = metrics::gauge!("waybill_broker_connected", "process" => process.to_owned());
    let blocked = metrics::gauge!("waybill_broker_blocked", "process" => process.to_owned());
    let forced = context.shutdown.forced().clone();
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
