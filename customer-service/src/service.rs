//! Starts the service.

use std::sync::Arc;

use anyhow::Context as _;
use bus::transport::SharedTransport;
use schema::pattern::Service;
use service_kit::ServiceContext;
use service_kit::context::PROBE_INTERVAL;
use store::Database;

use crate::config::Config;
use crate::customers::Customers;

/// Migrates and seeds the database, then answers as a task of the context.
///
/// Any number of copies may share the database.
pub async fn start(
    config: &Config,
    context: &ServiceContext,
    transport: SharedTransport,
    database: Database,
) -> anyhow::Result<()> {
    migrations::CUSTOMERS.migrate(&database).await.context("cannot migrate the customers database")?;
    let customers = Customers { database: database.clone() };
    if config.seed_demo {
        customers.seed_demo().await.context("cannot insert the demo customers")?;
    }
    let server = context.rpc_server(Service::Customer, &transport, Arc::new(customers), config.prefetch);
    let shutdown = &context.shutdown;
    shutdown.spawn("customer requests", server.run(shutdown.stopping().clone()));
    let database_ready = context.readiness.condition("customers database");
    context.report_queue_depths(Service::Customer, &transport);
    context.run_until_stopping(database_ready.follow(PROBE_INTERVAL, async move || database.ping().await));
    Ok(())
}
