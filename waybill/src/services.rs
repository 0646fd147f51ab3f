//! The order in which the services of one process stop.

use std::time::Duration;

use service_kit::shutdown::GRACE;
use service_kit::{ExitStatus, Readiness, Shutdown};
use tokio::time::Instant;

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
        let whole = Shutdown::default();
        let groups = StopOrder::new(&whole);
        let in_order = [&groups.gateway, &groups.orders, &groups.stock_and_customers];
        for pair in in_order.windows(2) {
            let (stopping, needed) = (pair[0].stopping().clone(), pair[1].stopping().clone());
            pair[0].spawn("sends requests", async move {
                stopping.cancelled().await;
                assert!(!needed.is_cancelled(), "a group must outlive those that send requests to it");
            });
        }
        assert_eq!(groups.stop().await, ExitStatus::Finished);
    }

    #[tokio::test]
    async fn a_group_that_fails_ends_the_whole() {
        let whole = Shutdown::default();
        let groups = StopOrder::new(&whole);
        groups.orders.fail("the relay is gone");
        groups.drain(&whole, &Readiness::default(), Duration::ZERO).await;
        assert_eq!(groups.stop().await, ExitStatus::Failed("the relay is gone".into()));
    }

    #[tokio::test]
    async fn a_second_signal_cuts_every_group_off() {
        let whole = Shutdown::default();
        let groups = StopOrder::new(&whole);
        groups.stock_and_customers.spawn("endless", std::future::pending());
        let readiness = Readiness::default();
        whole.begin();
        let drained = groups.drain(&whole, &readiness, Duration::from_secs(600));
        let ((), ()) = tokio::join!(drained, async { whole.force() });
        assert!(readiness.report().draining);
        assert_eq!(groups.stop().await, ExitStatus::CutOff(vec!["endless".into()]));
    }
}
