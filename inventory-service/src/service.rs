//! The running service.

use std::sync::Arc;

use anyhow::Context as _;
use bus::consumer::Consumer;
use bus::topology::WorkQueue;
use bus::transport::SharedTransport;
use schema::pattern::Service as Name;
use service_kit::ServiceContext;
use service_kit::context::PROBE_INTERVAL;
use store::Database;
use store::failpoint::Failpoints;

use crate::config::Config;
use crate::expired_holds::SettleExpiredHolds;
use crate::inventory::Inventory;
use crate::stock::HoldTime;

/// Events applied in one transaction.
const EVENT_BATCH: usize = 64;
/// What runs the service.
pub struct Service;

impl Service {
    /// Migrates and seeds the database, then answers, follows orders and settles as tasks of the host.
    ///
    /// Any number of copies may share the database.
    pub async fn start(
        config: &Config,
        host: &ServiceContext,
        transport: SharedTransport,
        database: Database,
    ) -> anyhow::Result<()> {
        migrations::inventory::migrate(&database).await.context("cannot migrate the inventory's database")?;
        #[cfg(not(debug_assertions))]
        let failpoints = Failpoints::default();
        #[cfg(debug_assertions)]
        let failpoints = Failpoints::by_name(service_kit::fault_injection::hit);
        let hold_time = HoldTime(config.reservation_hold);
        let inventory = Inventory { database, currency: config.currency, hold_time, failpoints };
        if config.seed_demo {
            inventory.seed_demo().await.context("cannot fill the catalogue with the demo's products")?;
        }
        let handler = Arc::new(inventory.clone());
        let database_there = host.readiness.condition("inventory database");
        let rpc_server = host.rpc_server(Name::Inventory, &transport, handler.clone(), config.prefetch);
        let consumer = Consumer {
            transport: Arc::clone(&transport),
            queue: WorkQueue::InventoryOrderEvents,
            handler,
            prefetch: config.prefetch,
            batch_max: EVENT_BATCH,
            clock: Arc::clone(&host.clock),
            heartbeat: host.heartbeat("inventory order events", &[&database_there]),
        };
        let settling = SettleExpiredHolds {
            inventory: inventory.clone(),
            rpc: host.rpc_client("inventory", &transport),
            timeout: config.request_timeout,
        };
        let (shutdown, stopping) = (&host.shutdown, host.shutdown.stopping());
        let settling_heartbeat = host.heartbeat("inventory settling", &[&database_there]);
        shutdown.spawn("inventory requests", rpc_server.run(stopping.clone()));
        shutdown.spawn("inventory order events", consumer.run(stopping.clone()));
        shutdown.spawn("inventory settling", settling.run(settling_heartbeat, stopping.clone()));
        host.report_queue_depths(Name::Inventory, &transport);
        host.run_until_stopping(
            database_there.follow(PROBE_INTERVAL, async move || inventory.database.ping().await),
        );
        Ok(())
    }
}
