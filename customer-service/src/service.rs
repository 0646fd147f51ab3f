//! The running service.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bus::clock::Clock;
use bus::responder::Responder;
use bus::transport::SharedTransport;
use schema::pattern::Service as Name;
use service_kit::{Readiness, Shutdown};
use store::Database;

use crate::config::Config;
use crate::customers::Customers;

/// How often the database is asked whether it is there.
const DATABASE_PROBE: Duration = Duration::from_secs(2);

/// What runs the service.
pub struct Service;

impl Service {
    /// Migrates and seeds the database, then answers as a task of `shutdown`.
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
        migrations::customers::migrate(&database).await.context("cannot migrate the customers' database")?;
        let customers = Customers { database: database.clone() };
        if config.seed_demo {
            customers.seed_demo().await.context("cannot take in the demo's customers")?;
        }
        let responder = Responder {
            transport,
            service: Name::Customer,
            handler: Arc::new(customers),
            prefetch: config.prefetch,
            clock,
            pulse: bus::pulse::Pulse::new(),
        };
        let stopping = shutdown.stopping();
        shutdown.spawn("customer requests", responder.run(stopping.clone()));
        let condition = readiness.condition("customers database");
        let probing = condition.follow(DATABASE_PROBE, async move || database.ping().await);
        tokio::spawn(stopping.clone().run_until_cancelled_owned(probing));
        Ok(())
    }
}
