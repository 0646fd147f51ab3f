//! Reorders messages: takes them from their queue, keeps them for a while, and requeues them behind newer ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use bus::transport::{Deliveries, SharedTransport};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Messages that it keeps at any time, per queue.
const HELD: u16 = 8;

/// Competes for messages with the services' consumers, like a copy that dies on each, until dropped.
pub(crate) struct ReorderingProxy {
    taken: Arc<AtomicU64>,
    _holding: JoinSet<()>,
}

impl ReorderingProxy {
    /// Consumes each of these queues and requeues each message up to `latest` later.
    pub(crate) async fn start(bus: &SharedTransport, queues: &[String], latest: Duration) -> Result<Self> {
        let taken = Arc::<AtomicU64>::default();
        let mut holding = JoinSet::new();
        for queue in queues {
            let deliveries = bus.consume(queue, HELD).await?;
            holding.spawn(hold(Arc::clone(bus), queue.clone(), deliveries, latest, Arc::clone(&taken)));
        }
        Ok(Self { taken, _holding: holding })
    }

    /// How many messages were taken and requeued.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }
}

async fn hold(
    bus: SharedTransport,
    queue: String,
    mut deliveries: Deliveries,
    latest: Duration,
    taken: Arc<AtomicU64>,
) {
    let mut held = JoinSet::new();
    loop {
        while let Some(delivery) = deliveries.recv().await {
            taken.fetch_add(1, Ordering::Relaxed);
            let delay = latest.mul_f64(rand::random_range(0.0..1.0));
            held.spawn(async move {
                sleep(delay).await;
                delivery.requeue().await;
            });
            while held.try_join_next().is_some() {}
        }
        match bus.consume(&queue, HELD).await {
            Ok(again) => deliveries = again,
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}
