//! Clients that place, change and follow orders through faults, and record what they are answered.

mod api;
mod client;
mod log;
mod subscriber;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use schema::ids::OrderId;
use schema::order_messages::OrderScope;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use api::{Api, Basket, BasketItem, Outcome, Shown, http};
pub(crate) use client::{WorkloadConfig, attempt};
pub(crate) use log::{Attempt, Change, ClientLog, Entry};
pub(crate) use subscriber::Subscriber;

use crate::cluster::Cluster;
use client::{Client, place, place_until_settled};

/// The customers that every cluster knows.
pub(crate) const CUSTOMERS: [&str; 2] = ["CUST01", "CUST02"];

/// Subscribers of each customer.
const SUBSCRIBERS: usize = 2;

/// Clients and subscribers at work.
pub(crate) struct Load {
    stop: CancellationToken,
    running: JoinSet<()>,
    /// Orders beside the clients' whose outcome is not known yet.
    unsettled: TaskTracker,
    subscribers: Vec<Subscriber>,
    log: Arc<ClientLog>,
    progress: Progress,
}

/// Counts accepted orders, so that faults can wait for them.
#[derive(Clone)]
pub(crate) struct Progress {
    placed: Arc<AtomicU64>,
    beats: Arc<watch::Sender<u64>>,
}

impl Progress {
    fn new() -> Self {
        Self { placed: Arc::default(), beats: Arc::new(watch::Sender::new(0)) }
    }

    fn beat(&self) {
        let placed = self.placed.fetch_add(1, Ordering::Relaxed) + 1;
        self.beats.send_replace(placed);
    }

    /// Orders that were accepted so far.
    pub(crate) fn placed(&self) -> u64 {
        self.placed.load(Ordering::Relaxed)
    }

    /// How long it takes until the next order is accepted.
    pub(crate) async fn next(&self, limit: Duration) -> Result<Duration> {
        let mut beats = self.beats.subscribe();
        beats.mark_unchanged();
        let begun = Instant::now();
        match timeout(limit, beats.changed()).await {
            Ok(_) => Ok(begun.elapsed()),
            Err(_) => anyhow::bail!("no order was accepted within {limit:?}"),
        }
    }

    /// Waits until so many orders are accepted in all.
    pub(crate) async fn reaches(&self, placed: u64, limit: Duration) -> Result<()> {
        let mut beats = self.beats.subscribe();
        match timeout(limit, beats.wait_for(|beat| *beat >= placed)).await {
            Ok(_) => Ok(()),
            Err(_) => anyhow::bail!("{} of {placed} orders were accepted within {limit:?}", self.placed()),
        }
    }
}

impl Load {
    /// Subscribes and places orders until [`Load::stop`].
    pub(crate) async fn start(cluster: &Cluster, clients: usize, config: WorkloadConfig) -> Result<Self> {
        let (stop, progress, log) =
            (CancellationToken::new(), Progress::new(), Arc::new(ClientLog::default()));
        let (mut subscribers, mut begin) = (Vec::new(), None);
        for customer in CUSTOMERS {
            let api = cluster.api(customer)?;
            // Its cursor is where the subscribers begin; they must miss nothing from there on.
            let first = place_until_settled(&api, &log, Basket::single(crate::cluster::ENDLESS[0])).await?;
            let after = (OrderId(first.order_id), u32::try_from(first.version)?);
            let scope = OrderScope::Customer { customer_id: customer.parse()? };
            for _ in 0..SUBSCRIBERS {
                subscribers.push(Subscriber::start(api.clone(), scope.clone(), after, first.cursor.clone()));
            }
            begin = Some((after, first.cursor));
        }
        let (after, cursor) = begin.expect("there are customers");
        subscribers.push(Subscriber::start(cluster.warehouse_api()?, OrderScope::Any, after, cursor));
        let mut running = JoinSet::new();
        for index in 0..clients {
            let client = Client {
                api: cluster.api(CUSTOMERS[index % CUSTOMERS.len()])?,
                log: Arc::clone(&log),
                progress: progress.clone(),
                config,
            };
            running.spawn(client.run(stop.clone()));
        }
        Ok(Self { stop, running, unsettled: TaskTracker::new(), subscribers, log, progress })
    }

    pub(crate) fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// What clients have recorded so far.
    pub(crate) fn log(&self) -> &ClientLog {
        &self.log
    }

    /// Places one order beside the clients' under a fresh key, and records it. If nothing was done it isn't sent again.
    pub(crate) async fn place(&self, api: &Api, basket: Basket) -> (Entry, Option<Shown>) {
        let (entry, shown) = place(api, basket, true, 1.0).await;
        self.log.add(entry.clone());
        (entry, shown)
    }

    /// Sends one order once, beside the clients', and returns how long its refusal took if it is retryable. An unknown
    /// outcome is resolved in the background.
    pub(crate) async fn refusal(&self, api: &Api, basket: Basket) -> Option<Duration> {
        let mut entry = client::fresh(api, basket);
        let begun = Instant::now();
        let outcome = api.create_order(&entry.request, Some(&entry.idempotency_key), true).await;
        let took = begun.elapsed();
        entry.attempts.push(attempt(&outcome, took));
        if let Outcome::Unknown(_) = outcome {
            let (api, log) = (api.clone(), Arc::clone(&self.log));
            self.unsettled.spawn(async move { log.add(client::resolve(&api, entry, true, 0.0).await.0) });
            return None;
        }
        self.log.add(entry);
        matches!(outcome, Outcome::Nothing { retryable: true, .. }).then_some(took)
    }

    /// Places one order beside the clients' and doesn't give up until it is accepted.
    pub(crate) async fn buy(&self, api: &Api, basket: Basket) {
        let (entry, _) = place(api, basket, true, 0.0).await;
        self.log.add(entry);
    }

    /// Records what a test has sent by itself.
    pub(crate) fn note(&self, entry: Entry) {
        self.log.add(entry);
    }

    /// How long it takes until a new order is decided, not only accepted.
    ///
    /// # Panics
    /// If that takes longer than [`testkit::WAIT_LIMIT`].
    pub(crate) async fn decided(&self, api: &Api) -> Duration {
        let begun = Instant::now();
        testkit::eventually("an order is decided", async || {
            let (_, shown) = self.place(api, Basket::single(crate::cluster::ENDLESS[0])).await;
            shown.is_some_and(|order| order.status == "PROCESSING")
        })
        .await;
        begun.elapsed()
    }

    /// Lets every client finish the order it is at, unknown outcomes resolved, and returns the records of all.
    /// The subscribers go on.
    pub(crate) async fn stop(mut self) -> Result<(Arc<ClientLog>, Vec<Subscriber>)> {
        self.stop.cancel();
        while let Some(ended) = self.running.join_next().await {
            ended?;
        }
        self.unsettled.close();
        self.unsettled.wait().await;
        Ok((self.log, self.subscribers))
    }
}
