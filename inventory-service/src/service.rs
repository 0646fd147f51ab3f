//! The running service.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bus::clock::Clock;
use bus::requester::Requester;
use bus::responder::Responder;
use bus::topology::WorkQueue;
use bus::transport::SharedTransport;
use bus::work::Worker;
use schema::pattern::Service as Name;
use service_kit::{Readiness, Shutdown};
use store::Database;

use crate::config::Config;
use crate::inventory::Inventory;
use crate::settling::Settling;
use crate::stock::Hold;

/// Events applied in one transaction.
const EVENT_BATCH: usize = 64;
/// How often the database is asked whether it is there.
const DATABASE_PROBE: Duration = Duration::from_secs(2);

/// What runs the service.
pub struct Service;

impl Service {
    /// Migrates and seeds the database, then answers, follows orders and settles as tasks of `shutdown`.
    ///
    /// Any number of copies may share the database.
    pub async fn start(
        config: &Config,
        transport: SharedTransport,
        database: Database,
        clock: Arc<dyn Clock>,
        shutdown: &Shutdown,
        readiness: &Readiness,
    ) -> anyhow::Result<()> {
        migrations::inventory::migrate(&database).await.context("cannot migrate the inventory's database")?;
        let inventory =
            Inventory { database, currency: config.currency, hold: Hold(config.reservation_hold) };
        if config.seed_demo {
            inventory.seed_demo().await.context("cannot fill the catalogue with the demo's products")?;
        }
        let handler = Arc::new(inventory.clone());
        let responder = Responder {
            transport: Arc::clone(&transport),
            service: Name::Inventory,
            handler: handler.clone(),
            prefetch: config.prefetch,
            clock: Arc::clone(&clock),
        };
        let worker = Worker {
            transport: Arc::clone(&transport),
            queue: WorkQueue::InventoryOrderEvents,
            handler,
            prefetch: config.prefetch,
            batch_max: EVENT_BATCH,
            clock: Arc::clone(&clock),
        };
        let settling = Settling {
            inventory: inventory.clone(),
            ask: Requester::start(transport, clock, shutdown.forced().clone()),
            timeout: config.request_timeout,
        };
        let stopping = shutdown.stopping();
        shutdown.spawn("inventory requests", responder.run(stopping.clone()));
        shutdown.spawn("inventory order events", worker.run(stopping.clone()));
        shutdown.spawn("inventory settling", settling.run(stopping.clone()));
        let condition = readiness.condition("inventory database");
        let probing = condition.follow(DATABASE_PROBE, async move || inventory.database.ping().await);
        tokio::spawn(stopping.clone().run_until_cancelled_owned(probing));
        Ok(())
    }
}
