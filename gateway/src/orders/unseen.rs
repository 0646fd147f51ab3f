//! Accepted orders whose command order-service has not answered yet.
//!
//! The broker keeps what it has confirmed, unless its administrator has it drop messages: by a policy that expires
//! messages or queues, by purging or deleting the queue. The gateway therefore remembers each such order, asks
//! order-service about it once no command waits any more, and places it again under the same ids if it is unknown. An
//! order that was in time after all is recognised by its id.
//!
//! Every command asks for a reply, whether or not a client waits for it: stored, refused and dead-lettered alike end the
//! watch. What is remembered ends with the process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bus::commands::Command;
use bus::failure::Failure;
use bus::heartbeat::Heartbeat;
use futures::stream::{self, StreamExt};
use metrics::Gauge;
use schema::ids::OrderId;
use schema::order::Order;
use schema::order_messages::{CreateOrder, OrderRef, OrderScope};
use schema::pattern::{ORDER_CREATE, ORDER_GET};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{SendCommand, ServiceClient};

/// Orders of one request to order-service: few enough that the answer is short even if all are as long as can be.
const BATCH: usize = 20;
/// Orders that are placed again at the same time.
const PLACED_AT_ONCE: usize = 16;
/// How often an order is placed again before it is given up.
const PLACED_AGAIN_MAX: u32 = 5;
/// How often in a row an order must be found unknown while no command waits: between two retries a command is for a
/// moment in no queue.
const FOUND_UNKNOWN_MIN: u32 = 2;

/// The bounds of what is remembered, and how often it is looked at.
#[derive(Debug, Clone, Copy)]
pub struct UnseenOrderSettings {
    /// How long after it was accepted an order is asked about, and how long after it was placed again; doubled each time.
    pub patience: Duration,
    /// How often the orders whose time has come are looked for.
    pub interval: Duration,
    /// Orders that are remembered at any time.
    pub max_orders: usize,
    /// Bytes that they may take, about.
    pub max_bytes: usize,
}

impl Default for UnseenOrderSettings {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(5),
            interval: Duration::from_secs(1),
            max_orders: 100_000,
            max_bytes: 64 * 1_024 * 1_024,
        }
    }
}

/// The unseen orders of one gateway. Cheap to clone.
#[derive(Clone)]
pub(crate) struct UnseenOrders {
    state: Arc<Mutex<State>>,
    settings: UnseenOrderSettings,
}

struct State {
    /// By their command's message id.
    orders: HashMap<Uuid, Unseen>,
    bytes: usize,
    is_full: bool,
    gauge: Gauge,
}

#[derive(Clone)]
struct Unseen {
    create: Arc<CreateOrder>,
    message_id: Uuid,
    /// Nothing while the command is being sent.
    ask_at: Option<Instant>,
    found_unknown: u32,
    placed_again: u32,
}

impl UnseenOrders {
    pub(crate) fn new(settings: UnseenOrderSettings) -> Self {
        let gauge = metrics::gauge!("waybill_unseen_orders");
        let state = State { orders: HashMap::new(), bytes: 0, is_full: false, gauge };
        Self { state: Arc::new(Mutex::new(state)), settings }
    }

    /// Remembers the order until its command is answered. Asked about is it only once the guard is dropped, as it is when
    /// the client goes away.
    pub(crate) fn watch(&self, create: &CreateOrder, message_id: Uuid) -> UnseenGuard<'_> {
        self.remember(create, message_id);
        UnseenGuard { orders: self, message_id }
    }

    /// Forgets the order: order-service has it.
    pub(crate) fn seen(&self, message_id: Uuid) {
        self.state().remove(message_id);
    }

    /// Takes a reply that no client waits for; returns whether it is to an order that is remembered.
    pub(crate) fn replied(&self, message_id: Uuid, outcome: Result<(), Failure>) -> bool {
        let Some(Unseen { create, placed_again, .. }) = self.state().remove(message_id) else { return false };
        let order_id = create.order_id;
        match outcome {
            Err(failure) => {
                tracing::warn!(%order_id, %failure, placed_again, "an accepted order is a dead letter");
                count_placed_again(placed_again, "dead_letter");
            }
            Ok(()) if placed_again > 0 => {
                tracing::error!(
                    %order_id,
                    "an accepted order had not reached order-service and was placed again: `waybill doctor` with \
                     RABBITMQ_MANAGEMENT_URL names policies that drop messages"
                );
                count_placed_again(placed_again, "placed");
            }
            Ok(()) => {}
        }
        true
    }

    /// Looks after the orders until `stop`.
    pub(crate) async fn run(
        &self,
        client: ServiceClient,
        commands: Arc<dyn SendCommand>,
        heartbeat: Heartbeat,
        stop: CancellationToken,
    ) {
        let looking = async {
            loop {
                heartbeat.while_waiting(tokio::time::sleep(self.settings.interval)).await;
                while self.look(&client, &*commands).await {
                    heartbeat.beat();
                }
            }
        };
        stop.run_until_cancelled(looking).await;
        let state = self.state();
        if !state.orders.is_empty() {
            let some: Vec<OrderId> =
                state.orders.values().take(10).map(|unseen| unseen.create.order_id).collect();
            tracing::warn!(orders = state.orders.len(), ?some, "stopped before accepted orders were seen");
        }
    }

    /// Asks about the orders whose time has come, and places those again that are unknown. Returns whether to go on at
    /// once with the next ones.
    async fn look(&self, client: &ServiceClient, commands: &dyn SendCommand) -> bool {
        let due = self.state().due(Instant::now());
        // An order whose command still waits is not lost, and would only make the queue longer.
        if due.is_empty() || !commands.is_idle().await {
            return false;
        }
        let orders: Vec<OrderRef> = due.iter().map(|unseen| order_ref(&unseen.create)).collect();
        let found: Vec<Option<Order>> = match client.call_batch(ORDER_GET, &orders).await {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(%error, orders = due.len(), "unseen orders can't be asked about yet");
                return false;
            }
        };
        let (known, unknown): (Vec<_>, Vec<_>) =
            due.into_iter().zip(found).partition(|(_, found)| found.is_some());
        known.iter().for_each(|(unseen, _)| self.seen(unseen.message_id));
        let lost =
            self.state().unknown(unknown.into_iter().map(|(unseen, _)| unseen), self.settings.interval);
        let placing = lost.into_iter().map(|unseen| self.place_again(unseen, client, commands));
        stream::iter(placing).buffer_unordered(PLACED_AT_ONCE).collect::<()>().await;
        true
    }

    async fn place_again(&self, unseen: Unseen, client: &ServiceClient, commands: &dyn SendCommand) {
        let Unseen { create, message_id, placed_again, .. } = unseen;
        let order_id = create.order_id;
        if placed_again >= PLACED_AGAIN_MAX {
            tracing::error!(%order_id, placed_again, command = ?create, "an accepted order is lost");
            self.seen(message_id);
            count_placed_again(placed_again, "lost");
            return;
        }
        let (pattern, timestamp) = (ORDER_CREATE, create.placed_at);
        let command = Command { pattern, data: &*create, message_id, timestamp };
        let patience = self.settings.patience;
        // The reply may come before `send` returns.
        self.state().postpone(message_id, patience * 2_u32.pow(placed_again), placed_again + 1);
        if let Err(error) = commands.send(&command, client.deadline(), None).await {
            tracing::warn!(%order_id, %error, "an accepted order could not be placed again yet");
            self.state().postpone(message_id, patience, placed_again);
            count_placed_again(placed_again + 1, "unsent");
        }
    }

    fn remember(&self, create: &CreateOrder, message_id: Uuid) {
        let mut state = self.state();
        let bytes = bytes_of(create);
        if state.orders.len() >= self.settings.max_orders || state.bytes + bytes > self.settings.max_bytes {
            metrics::counter!("waybill_unwatched_orders_total").increment(1);
            if !std::mem::replace(&mut state.is_full, true) {
                let orders = state.orders.len();
                tracing::warn!(orders, "too many accepted orders are unseen, further ones are not watched");
            }
            return;
        }
        let create = Arc::new(create.clone());
        let unseen = Unseen { create, message_id, ask_at: None, found_unknown: 0, placed_again: 0 };
        state.orders.insert(message_id, unseen);
        state.bytes += bytes;
        state.update_gauge();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The orders to ask about now, at most [`BATCH`].
    fn due(&self, now: Instant) -> Vec<Unseen> {
        let is_due = |unseen: &&Unseen| unseen.ask_at.is_some_and(|ask_at| ask_at <= now);
        self.orders.values().filter(is_due).take(BATCH).cloned().collect()
    }

    /// Of the orders that order-service doesn't know, those that are lost; the others are asked about again after `pause`.
    fn unknown(&mut self, orders: impl Iterator<Item = Unseen>, pause: Duration) -> Vec<Unseen> {
        let mut lost = Vec::new();
        for order in orders {
            // Answered meanwhile, it is not here any more.
            let Some(unseen) = self.orders.get_mut(&order.message_id) else { continue };
            unseen.found_unknown += 1;
            if unseen.found_unknown >= FOUND_UNKNOWN_MIN {
                lost.push(unseen.clone());
            } else {
                unseen.ask_at = Some(Instant::now() + pause);
            }
        }
        lost
    }

    fn postpone(&mut self, message_id: Uuid, by: Duration, placed_again: u32) {
        if let Some(unseen) = self.orders.get_mut(&message_id) {
            unseen.ask_at = Some(Instant::now() + by);
            (unseen.found_unknown, unseen.placed_again) = (0, placed_again);
        }
    }

    fn remove(&mut self, message_id: Uuid) -> Option<Unseen> {
        let unseen = self.orders.remove(&message_id)?;
        self.bytes -= bytes_of(&unseen.create);
        self.is_full = false;
        self.update_gauge();
        Some(unseen)
    }

    fn update_gauge(&self) {
        self.gauge.set(self.orders.len() as f64);
    }
}

/// Has the order asked about after a while when dropped, unless its command was answered or not accepted.
pub(crate) struct UnseenGuard<'a> {
    orders: &'a UnseenOrders,
    message_id: Uuid,
}

impl UnseenGuard<'_> {
    /// The order needs no watching: it was answered, or an error has told the client that it may not be accepted.
    pub(crate) fn release(self) {
        self.orders.seen(self.message_id);
    }
}

impl Drop for UnseenGuard<'_> {
    fn drop(&mut self) {
        self.orders.state().postpone(self.message_id, self.orders.settings.patience, 0);
    }
}

fn count_placed_again(placed_again: u32, outcome: &'static str) {
    if placed_again > 0 {
        metrics::counter!("waybill_orders_placed_again_total", "outcome" => outcome).increment(1);
    }
}

fn order_ref(create: &CreateOrder) -> OrderRef {
    let owner = OrderScope::Customer { customer_id: create.customer_id.clone() };
    OrderRef { order_id: create.order_id, owner }
}

/// About what an order takes in memory.
fn bytes_of(create: &CreateOrder) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let items: usize = create.items.iter().map(|item| 64 + item.product_id.as_str().len()).sum();
    256 + items + text(&create.shipping_address) + text(&create.idempotency_key)
}
