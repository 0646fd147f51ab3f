//! The running service.

use std::sync::Arc;

use anyhow::Context as _;
use bus::clock::SystemIds;
use bus::consumer::{Consumer, MessageHandler};
use bus::topology::WorkQueue;
use bus::transport::SharedTransport;
use schema::pattern::Service as Name;
use service_kit::ServiceContext;
use service_kit::context::PROBE_INTERVAL;
use store::Database;
use store::failpoint::Failpoints;
use store::lease::Lease;
use store::relay::Relay;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::context::Context;
use crate::orders::{EVENTS, OrderEvents, keep_cleaning_up};
use crate::pending::RetryPending;
use crate::place_order::PlaceOrders;
use crate::queue_metrics::keep_recording;
use crate::requests::OrderRequests;

/// Orders placed in one transaction.
const PLACED_AT_ONCE: usize = 64;

/// What runs the service.
pub struct Service;

impl Service {
    /// Migrates the database, then takes orders, answers, retries and tells as tasks of the host.
    ///
    /// Any number of copies may share the database; one of them tells.
    pub async fn start(
        config: &Config,
        host: &ServiceContext,
        transport: SharedTransport,
        database: Database,
    ) -> anyhow::Result<()> {
        migrations::orders::migrate(&database).await.context("cannot migrate the orders' database")?;
        #[cfg(not(debug_assertions))]
        let failpoints = Failpoints::default();
        #[cfg(debug_assertions)]
        let failpoints = Failpoints::by_name(service_kit::fault_injection::hit);
        let context = Context {
            database: database.clone(),
            rpc: host.rpc_client("order", &transport),
            clock: Arc::clone(&host.clock),
            ids: Arc::new(SystemIds),
            committed: Arc::new(Notify::new()),
            failpoints,
            timeouts: config.timeouts.clone(),
        };
        let database_there = host.readiness.condition("orders database");
        let requests = Arc::new(OrderRequests::new(context.clone()));
        let rpc_server = host.rpc_server(Name::Order, &transport, requests, config.prefetch);
        let placing: Arc<dyn MessageHandler> = Arc::new(PlaceOrders::new(context.clone()));
        #[cfg(debug_assertions)]
        let placing = crate::fault_injection::deduplication(placing, &context);
        let consumer = Consumer {
            transport: Arc::clone(&transport),
            queue: WorkQueue::OrderCommands,
            handler: placing,
            prefetch: config.prefetch,
            batch_max: PLACED_AT_ONCE,
            clock: Arc::clone(&host.clock),
            heartbeat: host.heartbeat("order commands", &[&database_there]),
        };
        let retrying = RetryPending::new(context.clone());
        host.report_queue_depths(Name::Order, &transport);
        host.run_until_stopping(keep_recording(context.clone()));
        host.run_until_stopping(keep_cleaning_up(context.clone()));
        let relay = relay(&context, transport);
        #[cfg(debug_assertions)]
        let relay = crate::fault_injection::outbox(relay);

        let (shutdown, stopping) = (&host.shutdown, host.shutdown.stopping().clone());
        let retrying_heartbeat = host.heartbeat("pending orders", &[&database_there]);
        let relay_heartbeat = host.heartbeat("order events", &[&database_there]);
        // The relay goes last: it still tells of what the others finish.
        let finished = CancellationToken::new();
        let working = Arc::new(finished.clone().drop_guard());
        shutdown.spawn("order requests", held(Arc::clone(&working), rpc_server.run(stopping.clone())));
        shutdown.spawn("order commands", held(Arc::clone(&working), consumer.run(stopping.clone())));
        shutdown.spawn("pending orders", held(working, retrying.run(retrying_heartbeat, stopping)));
        let telling = async move { relay.run(&context.committed, &relay_heartbeat, &finished).await };
        shutdown.spawn("order events", telling);
        host.run_until_stopping(database_there.follow(PROBE_INTERVAL, async move || database.ping().await));
        Ok(())
    }
}

/// The relay of this service's events, as one of several copies.
pub fn relay(context: &Context, transport: SharedTransport) -> Relay {
    let database = context.database.clone();
    let owner = format!("{}.{}", transport.owner(), context.ids.fresh());
    Relay {
        outbox: EVENTS,
        events: Arc::new(OrderEvents { database: database.clone() }),
        transport,
        lease: Lease::new(database.clone(), "order_leases", "relay", owner),
        failpoints: context.failpoints.clone(),
        database,
    }
}

/// Keeps `token` until `task` has ended.
async fn held<T>(token: Arc<T>, task: impl Future<Output = ()>) {
    task.await;
    drop(token);
}
