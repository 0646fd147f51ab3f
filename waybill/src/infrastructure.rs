//! The broker and the databases of a system in one process, its own in DATA_DIR or those of the URLs given, and the
//! services that are started over them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bus::clock::Clock;
use bus::transport::SharedTransport;
use clap::Args;
use embedded_broker::{EmbeddedBroker, Storage};
use inventory_service::config::StockArgs;
use order_service::config::OrderArgs;
use service_kit::config::{BrokerAddress, BusArgs, BusConfig, ConfigErrors, DatabaseArgs, Secret, SeedArgs};
use service_kit::{ServiceContext, broker};
use store::{Database, StoreError};
use tokio::sync::Mutex;

use crate::data_dir::{DataDir, DataDirArgs, DataDirLock};

/// How long the start waits for a broker or a database that doesn't answer: long enough for its restart, short enough to
/// report a mistyped address soon.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// The options of a system in one process, which `up` and the commands that may start services share.
#[derive(Args, Debug, Clone)]
pub(crate) struct SystemArgs {
    #[command(flatten)]
    data_dir: DataDirArgs,
    #[command(flatten)]
    bus: BusArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    seed: SeedArgs,
    #[command(flatten)]
    stock: StockArgs,
    #[command(flatten)]
    orders: OrderArgs,
}

#[derive(Debug, Clone)]
pub(crate) struct SystemConfig {
    pub(crate) data_dir: DataDir,
    /// None: the embedded broker.
    pub(crate) broker: Option<BrokerAddress>,
    pub(crate) bus: BusConfig,
    /// None: SQLite.
    pub(crate) database_url: Option<Secret>,
    orders: order_service::Config,
    pub(crate) inventory: inventory_service::Config,
    customers: customer_service::Config,
    pub(crate) has_demo_orders: bool,
}

impl SystemArgs {
    pub(crate) fn check(&self, errors: &mut ConfigErrors) -> SystemConfig {
        let (bus, seed_demo) = (self.bus.check(errors), self.seed.demo(errors));
        SystemConfig {
            data_dir: self.data_dir.check(errors),
            broker: self.bus.broker.check(errors),
            database_url: self.database.url(errors, store::check_url),
            orders: self.orders.check(&bus, errors),
            inventory: self.stock.check(&bus, seed_demo, errors),
            customers: customer_service::Config { prefetch: bus.prefetch, seed_demo },
            has_demo_orders: self.seed.demo_orders(),
            bus,
        }
    }

    /// Returns the typed values, for a command that takes no other configuration.
    pub(crate) fn checked(&self) -> Result<SystemConfig, ConfigErrors> {
        let mut errors = ConfigErrors::default();
        let config = self.check(&mut errors);
        errors.finish(config)
    }
}

impl SystemConfig {
    /// Whether any of it is kept in DATA_DIR, which is then this process's alone.
    pub(crate) fn is_kept_in_data_dir(&self) -> bool {
        self.broker.is_none() || self.database_url.is_none()
    }

    /// Creates DATA_DIR and locks it, if anything is kept in it.
    pub(crate) fn lock(&self) -> anyhow::Result<Option<DataDirLock>> {
        if !self.is_kept_in_data_dir() {
            return Ok(None);
        }
        self.data_dir.prepare()?;
        self.data_dir.lock().map(Some)
    }
}

/// The broker and the databases in use.
pub(crate) struct Infrastructure {
    config: SystemConfig,
    clock: Arc<dyn Clock>,
    broker: Option<EmbeddedBroker>,
    databases: Mutex<Vec<Database>>,
    _lock: Option<DataDirLock>,
}

impl Infrastructure {
    /// Opens the broker, if it is an embedded one; `lock` is [`SystemConfig::lock`]'s.
    pub(crate) async fn open(
        config: SystemConfig,
        clock: Arc<dyn Clock>,
        lock: Option<DataDirLock>,
    ) -> anyhow::Result<Self> {
        let mut broker = None;
        if config.broker.is_none() {
            let (file, topology) = (config.data_dir.database("broker"), broker::topology(&config.bus));
            let opened = EmbeddedBroker::open(Storage::File(file.clone()), topology, Arc::clone(&clock));
            broker = Some(opened.await.with_context(|| format!("cannot open {}", file.display()))?);
        }
        Ok(Self { config, clock, broker, databases: Mutex::default(), _lock: lock })
    }

    pub(crate) async fn start_orders(&self, context: &ServiceContext) -> anyhow::Result<()> {
        self.start("order-service", "orders", order_service::start, &self.config.orders, context).await
    }

    pub(crate) async fn start_inventory(&self, context: &ServiceContext) -> anyhow::Result<()> {
        let (start, config) = (inventory_service::start, &self.config.inventory);
        self.start("inventory-service", "inventory", start, config, context).await
    }

    pub(crate) async fn start_customers(&self, context: &ServiceContext) -> anyhow::Result<()> {
        let (start, config) = (customer_service::start, &self.config.customers);
        self.start("customer-service", "customers", start, config, context).await
    }

    /// Migrates, seeds and starts a service of this process.
    async fn start<C>(
        &self,
        service: &'static str,
        tables: &str,
        start: impl AsyncFnOnce(&C, &ServiceContext, SharedTransport, Database) -> anyhow::Result<()>,
        config: &C,
        context: &ServiceContext,
    ) -> anyhow::Result<()> {
        let transport = self.transport(service, context).await?;
        let database = self.database(tables).await?;
        start(config, context, transport, database).await.context(service)
    }

    /// Connects one part of this process to the broker.
    pub(crate) async fn transport(
        &self,
        part: &str,
        context: &ServiceContext,
    ) -> anyhow::Result<SharedTransport> {
        if let Some(broker) = &self.broker {
            // The embedded broker ends with this process alone, so that there is nothing to wait for.
            let transport = broker.transport(&format!("{part}.{:08x}", rand::random::<u32>()));
            broker::follow(part, &*transport, context);
            return Ok(transport);
        }
        let address = self.config.broker.as_ref().context("there is no broker")?;
        broker::connect(part, address, &self.config.bus, CONNECT_LIMIT, context).await
    }

    /// Connects to the database of one service's tables.
    pub(crate) async fn database(&self, tables: &str) -> anyhow::Result<Database> {
        let (url, name, variable) = match &self.config.database_url {
            Some(url) => (url.clone(), "the database (DATABASE_URL)".to_owned(), "DATABASE_URL"),
            None => {
                let file = self.config.data_dir.database(tables);
                (sqlite_url(&file), file.display().to_string(), "DATA_DIR")
            }
        };
        let clock = Arc::clone(&self.clock);
        let connected = Database::connect_within(url.expose(), clock, CONNECT_LIMIT).await;
        let database = connected.map_err(|error| match error {
            StoreError::Misconfigured(problem) => ConfigErrors::single(variable, problem).into(),
            error => anyhow::Error::new(error).context(format!("cannot reach {name}")),
        })?;
        self.databases.lock().await.push(database.clone());
        Ok(database)
    }

    pub(crate) async fn databases(&self) -> Vec<Database> {
        self.databases.lock().await.clone()
    }

    /// Closes broker and databases, which nothing may use any more. Without it they end as in a crash: nothing confirmed
    /// is lost, and the next start takes a little longer.
    pub(crate) async fn close(self) {
        if let Some(broker) = &self.broker {
            broker.close().await;
        }
        for database in self.databases.into_inner() {
            database.close().await;
        }
    }
}

pub(crate) fn sqlite_url(file: &Path) -> Secret {
    // A file's name may contain what ends a URL's path or begins an escape.
    let path = file.display().to_string().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    Secret::new(format!("sqlite://{path}"))
}
