use std::time::Duration;

use service_kit::shutdown::GRACE;
use service_kit::{ExitStatus, Readiness, Shutdown};

/// The parts of a shop, each of which can be stopped before those that it needs.
#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) gateway: Shutdown,
    pub(crate) orders: Shutdown,
    /// Inventory and customers, who need nobody to finish what they do.
    pub(crate) stock_and_customers: Shutdown,
}

impl Parts {
    /// Parts that drain with `whole` and are cut off with it; where one of them fails, `whole` drains.
    pub(crate) fn of(whole: &Shutdown) -> Self {
        let parts = Self::default();
        for part in parts.in_order() {
            let (whole, part) = (whole.clone(), part.clone());
            tokio::spawn(async move {
                tokio::select! {
                    () = whole.forced().cancelled() => part.force(),
                    () = part.draining().cancelled() => {
                        whole.begin();
                        whole.forced().cancelled().await;
                        part.force();
                    }
                }
            });
        }
        let (whole, gateway) = (whole.clone(), parts.gateway.clone());
        tokio::spawn(async move {
            whole.draining().cancelled().await;
            gateway.begin();
        });
        parts
    }

    /// Waits until `whole` drains, and serves on, not ready, for `drain_delay`.
    pub(crate) async fn drain(&self, whole: &Shutdown, readiness: &Readiness, drain_delay: Duration) {
        whole.draining().cancelled().await;
        readiness.start_draining();
        whole.forced().run_until_cancelled(tokio::time::sleep(drain_delay)).await;
    }

    /// Stops part by part, whoever needs others first, and says how that ended.
    pub(crate) async fn stop(&self) -> ExitStatus {
        let deadline = tokio::time::Instant::now() + GRACE;
        let mut endings = Vec::new();
        for part in self.in_order() {
            endings.push(part.stop(deadline.saturating_duration_since(tokio::time::Instant::now())).await);
        }
        combined(endings)
    }

    fn in_order(&self) -> [&Shutdown; 3] {
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
    async fn whoever_needs_others_stops_first() {
        let whole = Shutdown::new();
        let parts = Parts::of(&whole);
        let (orders_stopping, stock_stopping) =
            (parts.orders.stopping().clone(), parts.stock_and_customers.stopping().clone());
        let stop = parts.orders.stopping().clone();
        parts.orders.spawn("orders", async move {
            stop.cancelled().await;
            assert!(!stock_stopping.is_cancelled(), "stock must outlive orders");
        });
        let stop = parts.gateway.stopping().clone();
        parts.gateway.spawn("gateway", async move {
            stop.cancelled().await;
            assert!(!orders_stopping.is_cancelled(), "orders must outlive the gateway");
        });
        assert_eq!(parts.stop().await, ExitStatus::Finished);
    }

    #[tokio::test]
    async fn a_part_that_fails_ends_the_whole() {
        let whole = Shutdown::new();
        let parts = Parts::of(&whole);
        parts.orders.fail("the relay is gone");
        parts.drain(&whole, &Readiness::new(), Duration::ZERO).await;
        assert_eq!(parts.stop().await, ExitStatus::Failed("the relay is gone".into()));
    }

    #[tokio::test]
    async fn a_second_signal_cuts_every_part_off() {
        let whole = Shutdown::new();
        let parts = Parts::of(&whole);
        parts.stock_and_customers.spawn("endless", std::future::pending());
        let readiness = Readiness::new();
        whole.begin();
        let drained = parts.drain(&whole, &readiness, Duration::from_secs(600));
        let ((), ()) = tokio::join!(drained, async { whole.force() });
        assert!(readiness.report().draining);
        assert_eq!(parts.stop().await, ExitStatus::CutOff(vec!["endless".into()]));
    }
}
