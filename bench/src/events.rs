//! A subscriber of all orders that counts them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde_json::json;
use testkit::Received;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::system::Gateway;

/// How long nothing comes after the last event.
const SILENCE: Duration = Duration::from_secs(1);
/// How long events may be late.
const LATEST: Duration = Duration::from_secs(120);

const NEW_ORDERS: &str =
    "subscription ($after: String) { orderUpdated(allCustomers: true, after: $after) { kind orderId } }";

/// Counts the orders whose first event has been delivered over a socket.
pub(crate) struct NewOrders {
    created: Arc<AtomicUsize>,
    newest: watch::Receiver<Instant>,
    task: JoinHandle<Result<()>>,
}

impl NewOrders {
    /// Places an order and subscribes to what comes after it, so that every order that is placed from now on is counted.
    pub(crate) async fn subscribe(gateway: &Gateway) -> Result<Self> {
        let newest = gateway.create_order(0, true).await?;
        let after = &newest["data"]["createOrder"]["order"]["cursor"];
        let mut socket = gateway.staff().connect().await?;
        socket.try_subscribe("orders", NEW_ORDERS, &json!({ "after": after })).await?;
        let created = Arc::new(AtomicUsize::new(0));
        let (sender, newest) = watch::channel(Instant::now());
        let counter = Arc::clone(&created);
        let task = tokio::spawn(async move {
            loop {
                let Received::Message(message) = socket.try_receive().await? else {
                    bail!("the subscriber's socket was closed");
                };
                ensure!(message["type"] == "next" || message["type"] == "ping", "{message}");
                let update = &message["payload"]["data"]["orderUpdated"];
                if update["kind"] == "CREATED" {
                    counter.fetch_add(1, Ordering::Relaxed);
                    sender.send_replace(Instant::now());
                }
            }
        });
        Ok(Self { created, newest, task })
    }

    pub(crate) fn count(&self) -> usize {
        self.created.load(Ordering::Relaxed)
    }

    /// When the newest one was delivered.
    pub(crate) fn newest(&self) -> Instant {
        *self.newest.borrow()
    }

    /// Waits until there have been `least` more than `before`, and then nothing for a while. Returns how many there were
    /// and when the last one came.
    pub(crate) async fn complete(&self, before: usize, least: usize) -> Result<(usize, Instant)> {
        let begin = Instant::now();
        loop {
            ensure!(!self.task.is_finished(), "the subscriber has ended");
            let (count, newest) = (self.count() - before, self.newest());
            if count >= least && newest.elapsed() > SILENCE {
                return Ok((count, newest));
            }
            ensure!(begin.elapsed() < LATEST, "{count} of {least} orders were delivered in {LATEST:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for NewOrders {
    fn drop(&mut self) {
        self.task.abort();
    }
}
