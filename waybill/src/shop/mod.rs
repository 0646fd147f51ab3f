//! The services of a shop, side by side in one process, over one broker.

mod stopping;

use anyhow::Context as _;
use clap::Args;
use inventory_service::config::StockArgs;
use order_service::config::OrderArgs;
use service_kit::ServiceContext;
use service_kit::config::{BusConfig, ConfigErrors, SeedArgs};

use crate::backing::Backing;

pub(crate) use stopping::Parts;

/// What the services can be told, beside where broker and databases are.
#[derive(Args, Debug, Clone)]
pub(crate) struct ServicesArgs {
    #[command(flatten)]
    pub(crate) seed: SeedArgs,
    #[command(flatten)]
    pub(crate) stock: StockArgs,
    #[command(flatten)]
    pub(crate) orders: OrderArgs,
}

/// [`ServicesArgs`], checked.
#[derive(Debug, Clone)]
pub(crate) struct ServicesConfig {
    pub(crate) orders: order_service::Config,
    pub(crate) inventory: inventory_service::Config,
    pub(crate) customers: customer_service::Config,
}

impl ServicesArgs {
    /// The typed values; what is wrong goes to `errors`.
    pub(crate) fn check(&self, bus: &BusConfig, errors: &mut ConfigErrors) -> ServicesConfig {
        let seed_demo = self.seed.demo(errors);
        ServicesConfig {
            orders: self.orders.check(bus, errors),
            inventory: self.stock.check(bus, seed_demo, errors),
            customers: customer_service::Config { prefetch: bus.prefetch, seed_demo },
        }
    }
}

/// Migrates, seeds and starts inventory-service.
pub(crate) async fn start_inventory(
    config: &ServicesConfig,
    backing: &Backing,
    host: &ServiceContext,
) -> anyhow::Result<()> {
    let transport = backing.transport("inventory-service", host).await?;
    let database = backing.database("inventory").await?;
    let started = inventory_service::Service::start(&config.inventory, host, transport, database).await;
    started.context("inventory-service")
}

/// Migrates, seeds and starts customer-service.
pub(crate) async fn start_customers(
    config: &ServicesConfig,
    backing: &Backing,
    host: &ServiceContext,
) -> anyhow::Result<()> {
    let transport = backing.transport("customer-service", host).await?;
    let database = backing.database("customers").await?;
    let started = customer_service::Service::start(&config.customers, host, transport, database).await;
    started.context("customer-service")
}

/// Migrates and starts order-service.
pub(crate) async fn start_orders(
    config: &ServicesConfig,
    backing: &Backing,
    host: &ServiceContext,
) -> anyhow::Result<()> {
    let transport = backing.transport("order-service", host).await?;
    let database = backing.database("orders").await?;
    let started = order_service::Service::start(&config.orders, host, transport, database).await;
    started.context("order-service")
}
