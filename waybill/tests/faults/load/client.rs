//! A client that places one order after the other and resolves each outcome.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use schema::ids::OrderId;
use serde_json::json;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use waybill::audit::{ChangeEffect, ClientOutcome, OrderVersion};

use super::api::{BasketItem, Shown};
use super::{Api, Attempt, Basket, Change, ClientLog, Entry, Outcome, Progress};
use crate::cluster::{ENDLESS, RARE, UNKNOWN};

/// How long an order is tried again before the client gives up on an outcome.
const STUBBORNNESS: Duration = Duration::from_secs(120);

/// How a client behaves.
#[derive(Clone, Copy)]
pub(crate) struct WorkloadConfig {
    /// The longest pause between two orders.
    pub(crate) pause: Duration,
    /// Whether orders are cancelled, shipped and changed too.
    pub(crate) changes: bool,
}

impl Default for WorkloadConfig {
    fn default() -> Self {
        Self { pause: Duration::from_millis(60), changes: true }
    }
}

pub(super) struct Client {
    pub(super) api: Api,
    pub(super) log: Arc<ClientLog>,
    pub(super) progress: Progress,
    pub(super) config: WorkloadConfig,
}

impl Client {
    pub(super) async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let wait = rand::random_bool(0.8);
            let (entry, shown) = place(&self.api, random_basket(), wait, 0.3).await;
            self.log.add(entry);
            if let Some(order) = shown {
                self.progress.beat();
                self.read(&order).await;
                if self.config.changes {
                    self.change(&order).await;
                }
            }
            let pause = self.config.pause.mul_f64(rand::random_range(0.0..1.0));
            stop.run_until_cancelled(sleep(pause)).await;
        }
    }

    async fn read(&self, order: &Shown) {
        let begun = Instant::now();
        let read = self.api.read_order(order.order_id).await;
        self.log.note_read(begun.elapsed(), || format!("query: {read:?}"));
    }

    /// Changes what was placed in one of the ways that orders are changed; an unknown outcome is not retried.
    async fn change(&self, order: &Shown) {
        let id = order.order_id;
        match rand::random_range(0..10) {
            0 | 1 => {
                self.request(ChangeEffect::Cancelled, id, "cancelOrder", json!({ "id": id })).await;
            }
            2 | 3 => {
                let shipped = json!({
                    "id": id, "status": "SHIPPED", "trackingCompany": "Carrier", "trackingNumber": "1Z",
                });
                if self.request(ChangeEffect::Shipped, id, "updateOrder", shipped).await
                    && rand::random_bool(0.5)
                {
                    let delivered = json!({ "id": id, "status": "DELIVERED" });
                    self.request(ChangeEffect::Delivered, id, "updateOrder", delivered).await;
                }
            }
            4 => {
                let moved =
                    json!({ "id": id, "shippingAddress": format!("{} Harbour Street", id.as_fields().0) });
                self.request(ChangeEffect::DetailsChanged, id, "updateOrder", moved).await;
            }
            5 => {
                let begun = Instant::now();
                let answer = match self.api.delete_order(id).await {
                    Ok(()) => Attempt {
                        outcome: ClientOutcome::Ok,
                        order_id: Some(OrderId(id)),
                        detail: None,
                        elapsed_ms: millis(begun.elapsed()),
                    },
                    Err(outcome) => attempt(&outcome, begun.elapsed()),
                };
                self.log.note_change(Change { order_id: OrderId(id), effect: ChangeEffect::Deleted, answer });
            }
            _ => {}
        }
    }

    /// Sends a change and notes the answer; returns whether it was made.
    async fn request(&self, effect: ChangeEffect, id: Uuid, field: &str, input: serde_json::Value) -> bool {
        let begun = Instant::now();
        let outcome = self.api.change_order(field, input).await;
        let answer = attempt(&outcome, begun.elapsed());
        self.log.note_change(Change { order_id: OrderId(id), effect, answer });
        let Outcome::Ok { order, .. } = outcome else { return false };
        self.log.add_answered(OrderVersion {
            order_id: OrderId(order.order_id),
            version: order.version.try_into().expect("a version"),
            status: order.status.parse().expect("a status"),
        });
        true
    }
}

/// Places an order under one key until it is accepted, and returns it.
pub(super) async fn place_until_settled(api: &Api, log: &ClientLog, basket: Basket) -> Result<Shown> {
    let (entry, shown) = place(api, basket, true, 0.0).await;
    let attempts = format!("{:?}", entry.attempts);
    log.add(entry);
    shown.ok_or_else(|| anyhow::anyhow!("an order was not accepted: {attempts}"))
}

/// Sends an order under a fresh key until its outcome is known. If nothing was done, the client gives up with the given
/// probability instead of trying again.
pub(super) async fn place(api: &Api, basket: Basket, wait: bool, give_up: f64) -> (Entry, Option<Shown>) {
    resolve(api, fresh(api, basket), wait, give_up).await
}

/// An order that was not sent yet, under a key of its own.
pub(super) fn fresh(api: &Api, basket: Basket) -> Entry {
    Entry {
        customer_id: api.customer().to_owned(),
        idempotency_key: Uuid::new_v4().to_string(),
        request: basket,
        attempts: Vec::new(),
        unknown_for_ms: None,
    }
}

/// As [`place`], for an order that may have been sent before.
pub(super) async fn resolve(api: &Api, mut entry: Entry, wait: bool, give_up: f64) -> (Entry, Option<Shown>) {
    let begun = Instant::now();
    let is_unknown = |attempt: &Attempt| attempt.outcome == ClientOutcome::Unknown;
    let mut unknown_since = entry.attempts.iter().any(is_unknown).then_some(begun);
    let mut shown = None;
    while begun.elapsed() < STUBBORNNESS {
        let sent = Instant::now();
        let outcome = api.create_order(&entry.request, Some(&entry.idempotency_key), wait).await;
        entry.attempts.push(attempt(&outcome, sent.elapsed()));
        match outcome {
            Outcome::Ok { order, .. } => {
                shown = Some(order);
                break;
            }
            Outcome::Refused(_) => break,
            Outcome::Nothing { retryable, .. } => {
                let nothing_so_far = unknown_since.is_none();
                if nothing_so_far && (!retryable || rand::random_bool(give_up)) {
                    break;
                }
            }
            Outcome::Unknown(_) => {
                unknown_since.get_or_insert_with(Instant::now);
            }
        }
        sleep(Duration::from_millis(rand::random_range(50..250))).await;
    }
    entry.unknown_for_ms = unknown_since.map(|since| millis(since.elapsed()));
    (entry, shown)
}

/// An answer as it is recorded.
pub(crate) fn attempt(answer: &Outcome, elapsed: Duration) -> Attempt {
    let (outcome, order_id, detail) = match answer {
        Outcome::Ok { order, .. } => {
            (ClientOutcome::Ok, Some(OrderId(order.order_id)), Some(order.status.clone()))
        }
        Outcome::Refused(code) | Outcome::Nothing { code, .. } => {
            (ClientOutcome::Error, None, Some(code.clone()))
        }
        Outcome::Unknown(reason) => (ClientOutcome::Unknown, None, Some(reason.clone())),
    };
    Attempt { outcome, order_id, detail, elapsed_ms: millis(elapsed) }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// One to three products in stock, and sometimes one that is scarce or does not exist.
fn random_basket() -> Basket {
    let mut rng = rand::rng();
    let count = rng.random_range(1..=3);
    let mut products: Vec<&str> = ENDLESS.sample(&mut rng, count).copied().collect();
    match rng.random_range(0..20) {
        0 | 1 => products.push(RARE),
        2 => products.push(UNKNOWN),
        _ => {}
    }
    let item = |product_id: &str| BasketItem {
        product_id: product_id.to_owned(),
        quantity: rand::random_range(1..=3),
    };
    let shipping_address = rand::random_bool(0.5).then(|| "1 Harbour Street, Portland".to_owned());
    Basket { items: products.into_iter().map(item).collect(), shipping_address }
}
