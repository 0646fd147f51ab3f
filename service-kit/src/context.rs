//! What hosts a service: a process of its own, or one that it shares with others.

use std::sync::Arc;
use std::time::Duration;

use bus::clock::Clock;
use bus::heartbeat::Heartbeat;
use bus::rpc_client::BusRpcClient;
use bus::rpc_server::{RequestHandler, RpcServer};
use bus::transport::{SharedTransport, Transport};
use schema::pattern::Service;

use crate::health::{ReadinessHandle, SILENCE_LIMIT};
use crate::{Liveness, Readiness, Shutdown};

/// How often a host asks whether what its services need is there.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// How often the broker is asked about a service's queues.
const QUEUES_EVERY: Duration = Duration::from_secs(15);

/// Where a service runs. Cloning shares it; services in one process have a [`Shutdown`] each and share the rest.
#[derive(Clone)]
pub struct ServiceContext {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Ends the service.
    pub shutdown: Shutdown,
    /// Hears whether the service is ready.
    pub readiness: Readiness,
    /// Hears whether its loops go on.
    pub liveness: Liveness,
}

impl ServiceContext {
    /// One that nothing is known of yet. A loop may wait for a request as long as `request_timeout`.
    pub fn new(clock: Arc<dyn Clock>, shutdown: Shutdown, request_timeout: Duration) -> Self {
        let liveness = Liveness::with_silence_limit(SILENCE_LIMIT + request_timeout);
        Self { clock, shutdown, readiness: Readiness::new(), liveness }
    }

    /// The same host for a service that is ended by `shutdown`.
    #[must_use]
    pub fn with_shutdown(&self, shutdown: &Shutdown) -> Self {
        Self { shutdown: shutdown.clone(), ..self.clone() }
    }

    /// The heartbeat of a loop that has to go on until the service stops; its silence doesn't count while something that it
    /// `needs` is away.
    pub fn heartbeat(&self, name: impl Into<String>, needs: &[&ReadinessHandle]) -> Heartbeat {
        self.liveness.watch(name, needs, self.shutdown.stopping())
    }

    /// Runs what may be dropped as soon as the service stops.
    pub fn run_until_stopping(&self, task: impl Future<Output = ()> + Send + 'static) {
        tokio::spawn(self.shutdown.stopping().clone().run_until_cancelled_owned(task));
    }

    /// Keeps the gauges of a service's queues up to date: what waits in them, dead letters too, and who consumes them.
    pub fn report_queue_depths(&self, service: Service, transport: &SharedTransport) {
        let transport = Arc::clone(transport);
        self.run_until_stopping(async move {
            let queues = transport.topology().queues_of(service);
            loop {
                for queue in &queues {
                    show_queue(&*transport, &queue.name).await;
                }
                tokio::time::sleep(QUEUES_EVERY).await;
            }
        });
    }

    /// Asks other services in the name of `asker`, until running work is cut off.
    pub fn rpc_client(&self, asker: &str, transport: &SharedTransport) -> Arc<BusRpcClient> {
        let (transport, clock) = (Arc::clone(transport), Arc::clone(&self.clock));
        let heartbeat = self.heartbeat(format!("{asker} replies"), &[]);
        BusRpcClient::start_watched(transport, clock, self.shutdown.forced().clone(), heartbeat)
    }

    /// Whoever answers the requests to `service`, to be run as a task.
    pub fn rpc_server(
        &self,
        service: Service,
        transport: &SharedTransport,
        handler: Arc<dyn RequestHandler>,
        prefetch: u16,
    ) -> RpcServer {
        // A handler that waits for its database is ended by its deadline, so that no silence is to be excused.
        let heartbeat = self.heartbeat(format!("{} requests", service.name()), &[]);
        let (transport, clock) = (Arc::clone(transport), Arc::clone(&self.clock));
        RpcServer { transport, service, handler, prefetch, clock, heartbeat }
    }
}

/// What can't be asked now is shown as it was.
async fn show_queue(transport: &dyn Transport, queue: &str) {
    if let Ok(Some(depth)) = transport.depth(queue).await {
        metrics::gauge!("waybill_broker_ready_messages", "queue" => queue.to_owned()).set(depth.ready as f64);
        metrics::gauge!("waybill_broker_consumers", "queue" => queue.to_owned())
            .set(f64::from(depth.consumers));
    }
}
