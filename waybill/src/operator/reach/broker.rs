use std::sync::Arc;
use std::time::Duration;

use anyhow::{anyhow, bail};
use bus::amqp::{AmqpConfig, AmqpTransport};
use bus::clock::SystemClock;
use bus::rpc_client::{BusRpcClient, RpcClient};
use bus::topology::Topology;
use bus::transport::{LinkState, SharedTransport, Transport, TransportError};
use service_kit::config::Secret;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::operator::counter::Counter;

/// How long a broker may take to answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// A connection of the tool's own.
pub(super) struct Connected {
    counter: Arc<Counter>,
    transport: SharedTransport,
    stop: CancellationToken,
}

impl Connected {
    /// Connects. A broker that refuses a declaration is connected all the same: the tools are there to say so.
    pub(super) async fn to(url: &Secret, topology: Topology) -> anyhow::Result<Self> {
        let owner = format!("operator.{:08x}", rand::random::<u32>());
        let transport = AmqpTransport::connect(AmqpConfig::new(url.expose(), owner, topology))
            .map_err(|error| anyhow!("RABBITMQ_URL: {error}"))?;
        let transport: SharedTransport = Arc::new(transport);
        wait_until_connected(&*transport).await?;
        let stop = CancellationToken::new();
        let services = BusRpcClient::start(Arc::clone(&transport), Arc::new(SystemClock), stop.clone());
        let counter = Counter::new(Arc::clone(&transport), services, Vec::new());
        Ok(Self { counter: Arc::new(counter), transport, stop })
    }

    pub(super) fn counter(&self) -> Arc<dyn RpcClient> {
        Arc::clone(&self.counter) as Arc<dyn RpcClient>
    }

    pub(super) async fn close(self) {
        self.stop.cancel();
        self.transport.close().await;
    }
}

async fn wait_until_connected(transport: &dyn Transport) -> anyhow::Result<()> {
    let deadline = Instant::now() + CONNECT_LIMIT;
    loop {
        match transport.declare().await {
            Ok(()) | Err(TransportError::Refused(_)) => return Ok(()),
            Err(_) if Instant::now() < deadline => tokio::time::sleep(PAUSE).await,
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
