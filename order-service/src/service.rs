//! Starts the service.

use std::sync::Arc;

use anyhow::Context as _;
use bus::clock::SystemIds;
use bus::consumer::{Consumer, MessageHandler};
use bus::topology::WorkQueue;
use bus::transport::SharedTransport;
use schema::pattern::Service;
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
use crate::orders::{EVENTS, OrderEvents};
use crate::pending::RetryPending;
use crate::place_order::PlaceOrders;
use crate::queue_metrics::keep_recording;
use crate::requests::OrderRequests;

/// Orders created in one transaction.
const ORDERS_PER_TRANSACTION: usize = 64;

/// Migrates the database, then handles commands and requests, retries pending orders and publishes events in tasks of
/// `service_context`.
///
/// Any number of copies may share the database; one of them at a time publishes events.
pub async fn start(
    config: &Config,
    service_context: &ServiceContext,
    transport: SharedTransport,
    database: Database,
) -> anyhow::Result<()> {
    migrations::ORDERS.migrate(&database).await.context("cannot migrate the orders database")?;
    let context = Context {
        database: database.clone(),
        rpc: service_context.rpc_client("order", &transport),
        known_customers: Arc::default(),
        clock: Arc::clone(&service_context.clock),
        ids: Arc::new(SystemIds),
        committed: Arc::new(Notify::new()),
        failpoints: Failpoints::default(),
        timeouts: config.timeouts.clone(),
    };
    #[cfg(feature = "fault-injection")]
    let context = crate::fault_injection::failpoints(context);
    let database_ready = service_context.readiness.condition("orders database");
    let requests = Arc::new(OrderRequests(context.clone()));
    let server = service_context.rpc_server(Service::Order, &transport, requests, config.prefetch);
    let handler: Arc<dyn MessageHandler> = Arc::new(PlaceOrders(context.clone()));
    #[cfg(feature = "fault-injection")]
    let handler = crate::fault_injection::deduplication(handler, &context);
    let consumer = Consumer {
        transport: Arc::clone(&transport),
        queue: WorkQueue::OrderCommands,
        handler,
        prefetch: config.prefetch,
        batch_max: ORDERS_PER_TRANSACTION,
        clock: Arc::clone(&service_context.clock),
        heartbeat: service_context.heartbeat("order commands", &[&database_ready]),
    };
    let retries = RetryPending::new(context.clone());
    service_context.report_queue_depths(Service::Order, &transport);
    service_context.run_until_stopping(keep_recording(context.clone()));
    let relay = relay(&context, transport);
    #[cfg(feature = "fault-injection")]
    let relay = crate::fault_injection::outbox(relay);

    let (shutdown, stopping) = (&service_context.shutdown, service_context.shutdown.stopping().clone());
    let retries_heartbeat = service_context.heartbeat("pending orders", &[&database_ready]);
    let relay_heartbeat = service_context.heartbeat("order events", &[&database_ready]);
    // The relay stops last, so that it publishes the events of the work that the others finish.
    let finished = CancellationToken::new();
    let working = Arc::new(finished.clone().drop_guard());
    shutdown.spawn("order requests", held(Arc::clone(&working), server.run(stopping.clone())));
    shutdown.spawn("order commands", held(Arc::clone(&working), consumer.run(stopping.clone())));
    shutdown.spawn("pending orders", held(working, retries.run(retries_heartbeat, stopping)));
    let publishing = async move { relay.run(&context.committed, &relay_heartbeat, &finished).await };
    shutdown.spawn("order events", publishing);
    service_context
        .run_until_stopping(database_ready.follow(PROBE_INTERVAL, async move || database.ping().await));
    Ok(())
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
