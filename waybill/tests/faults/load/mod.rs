//! Customers who place, change and follow orders through faults, and write down what they were told.

mod api;
mod buyer;
mod log;
mod subscriber;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use api::{Api, Basket, BasketItem, Outcome, Shown, http};
pub(crate) use buyer::{Habits, attempt};
pub(crate) use log::{Attempt, Change, ClientLog, Entry, Told, Verdict};
pub(crate) use subscriber::{Seen, Subscriber};

use crate::plant::Plant;
use buyer::{Buyer, place, place_until_settled};

/// The customers that every plant knows.
pub(crate) const CUSTOMERS: [&str; 2] = ["CUST01", "CUST02"];

/// Subscribers of each customer.
const SUBSCRIBERS: usize = 2;

/// Buyers and subscribers at work.
pub(crate) struct Load {
    stop: CancellationToken,
    buyers: JoinSet<()>,
    /// Orders beside the buyers' whose outcome is being found out.
    unsettled: TaskTracker,
    subscribers: Vec<Subscriber>,
    log: Arc<ClientLog>,
    pulse: Pulse,
}

/// Counts what went well, so that faults can wait for it.
#[derive(Clone)]
pub(crate) struct Pulse {
    placed: Arc<AtomicU64>,
    beats: Arc<watch::Sender<u64>>,
}

impl Pulse {
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
    /// Subscribes and begins to buy, until [`Load::stop`].
    pub(crate) async fn start(plant: &Plant, clients: usize, habits: Habits) -> Result<Self> {
        let (stop, pulse, log) = (CancellationToken::new(), Pulse::new(), Arc::new(ClientLog::default()));
        let mut subscribers = Vec::new();
        for customer in CUSTOMERS {
            let api = plant.api(customer)?;
            // Its cursor is where the subscribers begin; they must miss nothing from there on.
            let first = place_until_settled(&api, &log, Basket::single(crate::plant::ENDLESS[0])).await?;
            for _ in 0..SUBSCRIBERS {
                subscribers.push(Subscriber::start(
                    api.clone(),
                    (first.order_id, first.version),
                    first.cursor.clone(),
                ));
            }
        }
        let mut buyers = JoinSet::new();
        for client in 0..clients {
            let buyer = Buyer {
                api: plant.api(CUSTOMERS[client % CUSTOMERS.len()])?,
                log: Arc::clone(&log),
                pulse: pulse.clone(),
                habits,
            };
            buyers.spawn(buyer.run(stop.clone()));
        }
        Ok(Self { stop, buyers, unsettled: TaskTracker::new(), subscribers, log, pulse })
    }

    /// What has gone well so far.
    pub(crate) fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// What clients have been told so far.
    pub(crate) fn log(&self) -> &ClientLog {
        &self.log
    }

    /// Places one order beside the buyers' under a fresh key, and notes it. Where nothing was done it isn't sent again.
    pub(crate) async fn place(&self, api: &Api, basket: Basket) -> (Entry, Option<Shown>) {
        let (entry, shown) = place(api, basket, true, 1.0).await;
        self.log.add(entry.clone());
        (entry, shown)
    }

    /// Sends one order once, beside the buyers', and answers how long its refusal took, if nothing was done and sending it again is advised. What
    /// became of it is found out on the way where that is unknown.
    pub(crate) async fn refusal(&self, api: &Api, basket: Basket) -> Option<Duration> {
        let mut entry = buyer::fresh(api, basket);
        let begun = Instant::now();
        let outcome = api.create_order(&entry.request, Some(&entry.idempotency_key), true).await;
        let took = begun.elapsed();
        entry.attempts.push(attempt(&outcome, took));
        if let Outcome::Unknown(_) = outcome {
            let (api, log) = (api.clone(), Arc::clone(&self.log));
            self.unsettled.spawn(async move { log.add(buyer::see_through(&api, entry, true, 0.0).await.0) });
            return None;
        }
        self.log.add(entry);
        matches!(outcome, Outcome::Nothing { retryable: true, .. }).then_some(took)
    }

    /// Places one order beside the buyers' and doesn't give up until it is accepted.
    pub(crate) async fn buy(&self, api: &Api, basket: Basket) {
        let (entry, _) = place(api, basket, true, 0.0).await;
        self.log.add(entry);
    }

    /// Notes what a test has sent by itself.
    pub(crate) fn note(&self, entry: Entry) {
        self.log.add(entry);
    }

    /// How long it takes until a new order is decided, not only accepted.
    ///
    /// # Panics
    /// Where that takes longer than [`testkit::WAIT_LIMIT`].
    pub(crate) async fn decided(&self, api: &Api) -> Duration {
        let begun = Instant::now();
        testkit::eventually("an order is decided", async || {
            let (_, shown) = self.place(api, Basket::single(crate::plant::ENDLESS[0])).await;
            shown.is_some_and(|order| order.status == "PROCESSING")
        })
        .await;
        begun.elapsed()
    }

    /// Lets every buyer finish the order it is at, unknown outcomes resolved, and answers what all wrote down.
    /// The subscribers go on.
    pub(crate) async fn stop(mut self) -> Result<(Arc<ClientLog>, Vec<Subscriber>)> {
        self.stop.cancel();
        while let Some(ended) = self.buyers.join_next().await {
            ended?;
        }
        self.unsettled.close();
        self.unsettled.wait().await;
        Ok((self.log, self.subscribers))
    }
}
