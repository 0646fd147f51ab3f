//! The services, side by side in one process over one broker, and the order in which they stop.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use inventory_service::config::StockArgs;
use order_service::config::OrderArgs;
use service_kit::config::{BusConfig, ConfigErrors, SeedArgs};
use service_kit::shutdown::GRACE;
use service_kit::{ExitStatus, Readiness, ServiceContext, Shutdown};
use tokio::time::Instant;

use crate::infrastructure::Infrastructure;

/// The services' options, without the addresses of broker and databases.
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
    /// Returns the typed values; adds what is wrong to `errors`.
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
    infrastructure: &Infrastructure,
    context: &ServiceContext,
) -> anyhow::Result<()> {
    let transport = infrastructure.transport("inventory-service", context).await?;
    let database = infrastructure.database("inventory").await?;
    let started = inventory_service::start(&config.inventory, context, transport, database).await;
    started.context("inventory-service")
}

/// Migrates, seeds and starts customer-service.
pub(crate) async fn start_customers(
    config: &ServicesConfig,
    infrastructure: &Infrastructure,
    context: &ServiceContext,
) -> anyhow::Result<()> {
    let transport = infrastructure.transport("customer-service", context).await?;
    let database = infrastructure.database("customers").await?;
    let started = customer_service::start(&config.customers, context, transport, database).await;
    started.context("customer-service")
}

/// Migrates and starts order-service.
pub(crate) async fn start_orders(
    config: &ServicesConfig,
    infrastructure: &Infrastructure,
    context: &ServiceContext,
) -> anyhow::Result<()> {
    let transport = infrastructure.transport("order-service", context).await?;
    let database = infrastructure.database("orders").await?;
    let started = order_service::start(&config.orders, context, transport, database).await;
    started.context("order-service")
}

/// One shutdown for each group of services; a group stops before those that it sends requests to.
#[derive(Default)]
pub(crate) struct StopOrder {
    pub(crate) gateway: Shutdown,
    pub(crate) orders: Shutdown,
    /// inventory-service and customer-service, which send requests to no other service while they finish.
    pub(crate) stock_and_customers: Shutdown,
}

impl StopOrder {
    /// Groups that drain with `whole` and are cut off with it; if one of them fails, `whole` drains.
    pub(crate) fn new(whole: &Shutdown) -> Self {
        let order = Self::default();
        for group in order.groups() {
            let (whole, group) = (whole.clone(), group.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = whole.forced().cancelled() => group.force(),
                    () = group.draining().cancelled() => {
                        whole.begin();
                        whole.forced().cancelled().await;
                        group.force();
                    }
                }
            });
        }
        let (whole, gateway) = (whole.clone(), order.gateway.clone());
        tokio::spawn(async move {
            whole.draining().cancelled().await;
            gateway.begin();
        });
        order
    }

    /// Waits until `whole` drains, and serves on, not ready, for `drain_delay`.
    pub(crate) async fn drain(&self, whole: &Shutdown, readiness: &Readiness, drain_delay: Duration) {
        whole.draining().cancelled().await;
        readiness.start_draining();
        whole.forced().run_until_cancelled(tokio::time::sleep(drain_delay)).await;
    }

    /// Stops group by group and says how that ended.
    pub(crate) async fn stop(&self) -> ExitStatus {
        let deadline = Instant::now() + GRACE;
        let mut endings = Vec::new();
        for group in self.groups() {
            endings.push(group.stop(deadline.saturating_duration_since(Instant::now())).await);
        }
        combined(endings)
    }

    fn groups(&self) -> [&Shutdown; 3] {
        [&self.gateway, &self.orders, &self.stock_and_customers]
    }
}

/// A failure outweighs what was cut off, which outweighs what finished.
fn combined(endings: Vec<ExitStatus>) -> ExitStatus {
    let mut cut_off = Vec::new();
    for ending in endings {
        match ending {
            ExitStatus::Failed(reason) => return ExitStatus::Failed(reason),
            ExitStatus::CutOff(tasks) => cut_off.extend(tasks),
            ExitStatus::Finished => {}
        }
    }
    if cut_off.is_empty() { ExitStatus::Finished } else { ExitStatus::CutOff(cut_off) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_group_stops_before_those_that_it_sends_requests_to() {
        let whole = Shutdown::new();
        let groups = StopOrder::new(&whole);
        let (orders_stopping, stock_stopping) =
            (groups.orders.stopping().clone(), groups.stock_and_customers.stopping().clone());
        let stop = groups.orders.stopping().clone();
        groups.orders.spawn("orders", async move {
            stop.cancelled().await;
            assert!(!stock_stopping.is_cancelled(), "stock must outlive orders");
        });
        let stop = groups.gateway.stopping().clone();
        groups.gateway.spawn("gateway", async move {
            stop.cancelled().await;
            assert!(!orders_stopping.is_cancelled(), "orders must outlive the gateway");
        });
        assert_eq!(groups.stop().await, ExitStatus::Finished);
    }

    #[tokio::test]
    async fn a_group_that_fails_ends_the_whole() {
        let whole = Shutdown::new();
        let groups = StopOrder::new(&whole);
        groups.orders.fail("the relay is gone");
        groups.drain(&whole, &Readiness::new(), Duration::ZERO).await;
        assert_eq!(groups.stop().await, ExitStatus::Failed("the relay is gone".into()));
    }

    #[tokio::test]
    async fn a_second_signal_cuts_every_group_off() {
        let whole = Shutdown::new();
        let groups = StopOrder::new(&whole);
        groups.stock_and_customers.spawn("endless", std::future::pending());
        let readiness = Readiness::new();
        whole.begin();
        let drained = groups.drain(&whole, &readiness, Duration::from_secs(600));
        let ((), ()) = tokio::join!(drained, async { whole.force() });
        assert!(readiness.report().draining);
        assert_eq!(groups.stop().await, ExitStatus::CutOff(vec!["endless".into()]));
    }
}
