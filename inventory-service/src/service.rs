//! Starts the service.

use std::sync::Arc;

use anyhow::Context as _;
use bus::consumer::Consumer;
use bus::topology::WorkQueue;
use bus::transport::SharedTransport;
use schema::pattern::Service;
use service_kit::ServiceContext;
use service_kit::config::ConfigErrors;
use service_kit::context::PROBE_INTERVAL;
use store::Database;
use store::failpoint::Failpoints;

use crate::config::Config;
use crate::expired_holds::SettleExpiredHolds;
use crate::inventory::Inventory;
use crate::missed_events::ApplyMissedEvents;
use crate::stock::HoldTime;

/// Events applied in one transaction.
const EVENT_BATCH: usize = 64;

/// Migrates and seeds the database, then handles requests, applies order events and settles expired holds in tasks of
/// `context`.
///
/// Any number of copies may share the database.
pub async fn start(
    config: &Config,
    context: &ServiceContext,
    transport: SharedTransport,
    database: Database,
) -> anyhow::Result<()> {
    migrations::INVENTORY.migrate(&database).await.context("cannot migrate the inventory database")?;
    let hold_time = HoldTime(config.reservation_hold);
    #[cfg(not(feature = "fault-injection"))]
    let failpoints = Failpoints::default();
    #[cfg(feature = "fault-injection")]
    let failpoints = Failpoints::by_name(service_kit::fault_injection::hit);
    let inventory = Inventory { database, currency: config.currency, hold_time, failpoints };
    check_currency(&inventory).await?;
    if config.seed_demo {
        inventory.seed_demo().await.context("cannot insert the demo products")?;
    }
    let handler = Arc::new(inventory.clone());
    let database_ready = context.readiness.condition("inventory database");
    let server = context.rpc_server(Service::Inventory, &transport, handler.clone(), config.prefetch);
    let consumer = Consumer {
        transport: Arc::clone(&transport),
        queue: WorkQueue::InventoryOrderEvents,
        handler,
        prefetch: config.prefetch,
        batch_max: EVENT_BATCH,
        clock: Arc::clone(&context.clock),
        heartbeat: context.heartbeat("inventory order events", &[&database_ready]),
    };
    let rpc = context.rpc_client("inventory", &transport);
    let settling = SettleExpiredHolds {
        inventory: inventory.clone(),
        rpc: rpc.clone(),
        timeout: config.request_timeout,
    };
    let missed =
        ApplyMissedEvents { inventory: inventory.clone(), rpc, timeout: config.request_timeout, aged: 0 };
    let (shutdown, stopping) = (&context.shutdown, context.shutdown.stopping());
    let settling_heartbeat = context.heartbeat("inventory settling", &[&database_ready]);
    shutdown.spawn("inventory requests", server.run(stopping.clone()));
    shutdown.spawn("inventory order events", consumer.run(stopping.clone()));
    shutdown.spawn("inventory settling", settling.run(settling_heartbeat, stopping.clone()));
    let missed_heartbeat = context.heartbeat("inventory missed events", &[&database_ready]);
    shutdown.spawn("inventory missed events", missed.run(missed_heartbeat, stopping.clone()));
    context.report_queue_depths(Service::Inventory, &transport);
    context.run_until_stopping(
        database_ready.follow(PROBE_INTERVAL, async move || inventory.database.ping().await),
    );
    Ok(())
}

/// Fails if the catalogue's prices are in another currency than configured.
async fn check_currency(inventory: &Inventory) -> anyhow::Result<()> {
    let mut errors = ConfigErrors::default();
    if let Some(other) = inventory.other_currency().await.context("cannot read the catalogue")? {
        let problem = format!(
            "{} is not the currency of the catalogue, whose prices are in {other}; give {other}, or another database",
            inventory.currency
        );
        errors.add("CURRENCY", problem);
    }
    Ok(errors.finish(())?)
}
