//! Measures how long the orders of other clients take during a fault.

use std::fmt;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, ENDLESS, Whose};
use crate::load::{Api, Basket, Load, Outcome};
use crate::scale::is_full;

/// How often a reservation is read.
const POLL: Duration = Duration::from_millis(20);
/// The bound that is promised, judged at full scale.
const PROMISED: Duration = Duration::from_secs(1);
/// For tests that share their machine.
const LIVENESS: Duration = Duration::from_secs(30);

/// The slowest of what was measured.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Slowest {
    /// From sending an order until it was answered as decided: a command, and its requests.
    decided: Duration,
    /// From a cancellation's answer until its stock was free again: an event.
    released: Duration,
    orders: usize,
}

impl Slowest {
    /// # Panics
    /// If another client's order took longer than promised.
    pub(super) fn assert_within_bound(self) {
        let bound = if is_full() { PROMISED } else { LIVENESS };
        assert!(self.orders > 0 && self.decided < bound && self.released < bound, "{self}");
    }
}

impl fmt::Display for Slowest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { decided, released, orders } = self;
        write!(
            formatter,
            "{orders} orders of others were decided within {decided:?}, their events {released:?}"
        )
    }
}

/// Does what `fault` does, and beside it places and cancels one order after the other throughout.
pub(super) async fn measured<T>(
    cluster: &Cluster,
    load: &Load,
    fault: impl Future<Output = T>,
) -> (T, Slowest) {
    let over = CancellationToken::new();
    let ending = async {
        let outcome = fault.await;
        over.cancel();
        outcome
    };
    let api = cluster.api("CUST02").unwrap();
    let measuring = async {
        let mut slowest = Slowest::default();
        while !over.is_cancelled() || slowest.orders == 0 {
            measure(&api, cluster, load, &mut slowest).await;
        }
        slowest
    };
    tokio::join!(ending, measuring)
}

async fn measure(api: &Api, cluster: &Cluster, load: &Load, slowest: &mut Slowest) {
    let sent = Instant::now();
    let (entry, shown) = load.place(api, Basket::single(ENDLESS[3])).await;
    let order = shown.unwrap_or_else(|| panic!("an order was answered {:?}", entry.attempts));
    // One that is PENDING took longer than the answer's wait already.
    let decided = format!("SELECT 1 FROM orders WHERE id = '{}' AND status <> 'PENDING'", order.order_id);
    while order.status == "PENDING" && cluster.tables.texts(Whose::Orders, &decided).await.unwrap().is_empty()
    {
        assert!(sent.elapsed() < LIVENESS, "order {} was not decided", order.order_id);
        sleep(POLL).await;
    }
    slowest.decided = slowest.decided.max(sent.elapsed());

    let cancelled = api.change_order("cancelOrder", json!({ "id": order.order_id })).await;
    assert!(matches!(cancelled, Outcome::Ok { .. }), "a cancellation was answered {cancelled:?}");
    let answered = Instant::now();
    let released =
        format!("SELECT 1 FROM reservations WHERE order_id = '{}' AND state = 'released'", order.order_id);
    while cluster.tables.texts(Whose::Inventory, &released).await.unwrap().is_empty() {
        assert!(answered.elapsed() < LIVENESS, "the stock of {} was not given back", order.order_id);
        sleep(POLL).await;
    }
    slowest.released = slowest.released.max(answered.elapsed());
    slowest.orders += 1;
}
