//! The running service.

use std::sync::Arc;

use anyhow::Context as _;
use bus::transport::SharedTransport;
use schema::pattern::Service as Name;
use service_kit::ServiceContext;
use service_kit::context::PROBE_INTERVAL;
use store::Database;

use crate::config::Config;
use crate::customers::Customers;

/// What runs the service.
pub struct Service;

impl Service {
    /// Migrates and seeds the database, then answers as a task of the host.
    ///
    /// Any number of copies may share the database.
    pub async fn start(
        config: &Config,
        host: &ServiceContext,
        transport: SharedTransport,
        database: Database,
    ) -> anyhow::Result<()> {
        migrations::customers::migrate(&database).await.context("cannot migrate the customers' database")?;
        let customers = Customers { database: database.clone() };
        if config.seed_demo {
            customers.seed_demo().await.context("cannot take in the demo's customers")?;
        }
        let rpc_server = host.rpc_server(Name::Customer, &transport, Arc::new(customers), config.prefetch);
        let shutdown = &host.shutdown;
        shutdown.spawn("customer requests", rpc_server.run(shutdown.stopping().clone()));
        let database_there = host.readiness.condition("customers database");
        host.report_queue_depths(Name::Customer, &transport);
        host.run_until_stopping(database_there.follow(PROBE_INTERVAL, async move || database.ping().await));
        Ok(())
    }
}
