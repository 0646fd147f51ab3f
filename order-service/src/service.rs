//! The running service.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bus::clock::Clock;
use bus::ids::SystemIds;
use bus::requester::Requester;
use bus::responder::Responder;
use bus::topology::WorkQueue;
use bus::transport::SharedTransport;
use bus::work::Worker;
use schema::pattern::Service as Name;
use service_kit::{Readiness, Shutdown};
use store::Database;
use store::failpoint::Failpoints;
use store::lease::Lease;
use store::relay::Relay;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::context::Context;
use crate::events::OrderEvents;
use crate::orders::EVENTS;
use crate::pending::RetryPending;
use crate::placing::PlaceOrders;
use crate::requests::OrderRequests;

/// Orders placed in one transaction.
const PLACED_AT_ONCE: usize = 64;
/// How often the database is asked whether it is there.
const DATABASE_PROBE: Duration = Duration::from_secs(2);

/// What runs the service.
pub struct Service;

impl Service {
    /// Migrates the database, then takes orders, answers, retries and tells as tasks of `shutdown`.
    ///
    /// Any number of copies may share the database; one of them tells.
    pub async fn start(
        config: &Config,
        transport: SharedTransport,
        database: Database,
        clock: Arc<dyn Clock>,
        shutdown: &Shutdown,
        readiness: &Readiness,
    ) -> anyhow::Result<()> {
        migrations::orders::migrate(&database).await.context("cannot migrate the orders' database")?;
        let context = Context {
            database: database.clone(),
            ask: Requester::start(Arc::clone(&transport), Arc::clone(&clock), shutdown.forced().clone()),
            clock: Arc::clone(&clock),
            ids: Arc::new(SystemIds),
            committed: Arc::new(Notify::new()),
            failpoints: Failpoints::default(),
            bounds: config.bounds.clone(),
        };
        let responder = Responder {
            transport: Arc::clone(&transport),
            service: Name::Order,
            handler: Arc::new(OrderRequests::new(context.clone())),
            prefetch: config.prefetch,
            clock: Arc::clone(&clock),
        };
        let worker = Worker {
            transport: Arc::clone(&transport),
            queue: WorkQueue::OrderCommands,
            handler: Arc::new(PlaceOrders::new(context.clone())),
            prefetch: config.prefetch,
            batch_max: PLACED_AT_ONCE,
            clock,
        };
        let retrying = RetryPending::new(context.clone());
        let relay = relay(&context, transport);

        let stopping = shutdown.stopping().clone();
        // The relay goes last: it still tells of what the others finish.
        let finished = CancellationToken::new();
        let working = Arc::new(finished.clone().drop_guard());
        shutdown.spawn("order requests", held(Arc::clone(&working), responder.run(stopping.clone())));
        shutdown.spawn("order commands", held(Arc::clone(&working), worker.run(stopping.clone())));
        let pending_stop = stopping.clone();
        shutdown.spawn("pending orders", held(working, async move { retrying.run(&pending_stop).await }));
        shutdown.spawn("order events", async move { relay.run(&context.committed, &finished).await });

        let condition = readiness.condition("orders database");
        let probing = condition.follow(DATABASE_PROBE, async move || database.ping().await);
        tokio::spawn(stopping.run_until_cancelled_owned(probing));
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
