//! What a process gives to a service that runs in it, alone or with others.

use std::sync::Arc;
use std::time::Duration;

use bus::clock::Clock;
use bus::heartbeat::Heartbeat;
use bus::rpc_client::BusRpcClient;
use bus::rpc_server::{RequestHandler, RpcServer};
use bus::transport::SharedTransport;
use schema::pattern::Service;

use crate::health::{ReadinessHandle, SILENCE_LIMIT};
use crate::{Liveness, Readiness, Shutdown};

/// How often a service probes what it needs, such as its database.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(2);

const QUEUE_DEPTH_INTERVAL: Duration = Duration::from_secs(15);

/// Clock, shutdown and health for a service. Clones share them; services in one process have a [`Shutdown`] each and share
/// the rest.
#[derive(Clone)]
pub struct ServiceContext {
    pub clock: Arc<dyn Clock>,
    pub shutdown: Shutdown,
    pub readiness: Readiness,
    pub liveness: Liveness,
}

impl ServiceContext {
    /// A loop may wait for a request for `request_timeout` and is not dead meanwhile.
    pub fn new(clock: Arc<dyn Clock>, shutdown: Shutdown, request_timeout: Duration) -> Self {
        let liveness = Liveness::new(SILENCE_LIMIT + request_timeout);
        Self { clock, shutdown, readiness: Readiness::default(), liveness }
    }

    /// The same context for a service that `shutdown` ends.
    #[must_use]
    pub fn with_shutdown(&self, shutdown: &Shutdown) -> Self {
        Self { shutdown: shutdown.clone(), ..self.clone() }
    }

    /// The heartbeat of a loop that has to run until the service stops; silence doesn't count while a condition in `needs`
    /// is not met.
    pub fn heartbeat(&self, name: impl Into<String>, needs: &[&ReadinessHandle]) -> Heartbeat {
        self.liveness.watch(name, needs, self.shutdown.stopping())
    }

    /// Runs a task that may be dropped as soon as the service stops.
    pub fn run_until_stopping(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(self.shutdown.stopping().clone().run_until_cancelled_owned(task));
    }

    /// Updates the gauges of a service's queues, those of dead letters included: ready messages and consumers.
    pub fn report_queue_depths(&self, service: Service, transport: &SharedTransport) {
        let transport = Arc::clone(transport);
        self.run_until_stopping(async move {
            let queues = transport.topology().queues_of(service);
            loop {
                for queue in &queues {
                    // If the broker doesn't answer, the gauges keep their last values.
                    let Ok(Some(depth)) = transport.depth(&queue.name).await else { continue };
                    let name = queue.name.clone();
                    metrics::gauge!("waybill_broker_ready_messages", "queue" => name.clone())
                        .set(depth.ready as f64);
                    metrics::gauge!("waybill_broker_consumers", "queue" => name)
                        .set(f64::from(depth.consumers));
                }
                tokio::time::sleep(QUEUE_DEPTH_INTERVAL).await;
            }
        });
    }

    /// Calls other services in the name of `caller`, until running work is cut off.
    pub fn rpc_client(&self, caller: &str, transport: &SharedTransport) -> Arc<BusRpcClient> {
        let (transport, clock) = (Arc::clone(transport), Arc::clone(&self.clock));
        let heartbeat = self.heartbeat(format!("{caller} replies"), &[]);
        BusRpcClient::start(transport, clock, self.shutdown.forced().clone(), heartbeat)
    }

    /// The server of the requests to `service`, which the caller runs as a task.
    pub fn rpc_server(
        &self,
        service: Service,
        transport: &SharedTransport,
        handler: Arc<dyn RequestHandler>,
        prefetch: u16,
    ) -> RpcServer {
        // The deadline ends a handler that waits for its database, so that no condition needs to excuse silence.
        let heartbeat = self.heartbeat(format!("{} requests", service.name()), &[]);
        let (transport, clock) = (Arc::clone(transport), Arc::clone(&self.clock));
        RpcServer { transport, service, handler, prefetch, clock, heartbeat }
    }
}
