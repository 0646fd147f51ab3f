//! Accepted orders of which nothing has been seen since: neither order-service's answer nor an event.
//!
//! The broker keeps what it has confirmed, unless its administrator has it drop messages: by a policy that expires
//! messages or queues, by purging or deleting the queue. The gateway therefore remembers each such order, asks
//! order-service about it once no command waits any more, and places it again under the same ids if it is unknown. An
//! order that was in time after all is recognised by its id.
//!
//! What is remembered ends with the process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bus::commands::{Accepted, Command};
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
/// How long order-service may take to answer an order that is placed again.
const ANSWER_WAIT: Duration = Duration::from_secs(2);

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
    orders: HashMap<OrderId, Unseen>,
    bytes: usize,
    is_full: bool,
    gauge: Gauge,
}

#[derive(Clone)]
struct Unseen {
    create: Arc<CreateOrder>,
    message_id: Uuid,
    ask_at: Instant,
    placed_again: u32,
}

impl UnseenOrders {
    pub(crate) fn new(settings: UnseenOrderSettings) -> Self {
        let gauge = metrics::gauge!("waybill_unseen_orders");
        let state = State { orders: HashMap::new(), bytes: 0, is_full: false, gauge };
        Self { state: Arc::new(Mutex::new(state)), settings }
    }

    /// Remembers the order once the guard is dropped, as it is when the client goes away, unless it was seen.
    pub(crate) fn watch<'a>(&'a self, create: &'a CreateOrder, message_id: Uuid) -> UnseenGuard<'a> {
        UnseenGuard { orders: self, create, message_id, is_seen: false }
    }

    /// Forgets the order: order-service has it.
    pub(crate) fn seen(&self, order_id: OrderId) {
        self.state().remove(order_id);
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
            let some: Vec<OrderId> = state.orders.keys().take(10).copied().collect();
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
        known.iter().for_each(|(unseen, _)| self.seen(unseen.create.order_id));
        let placing = unknown.into_iter().map(|(unseen, _)| self.place_again(unseen, client, commands));
        stream::iter(placing).buffer_unordered(PLACED_AT_ONCE).collect::<()>().await;
        true
    }

    async fn place_again(&self, unseen: Unseen, client: &ServiceClient, commands: &dyn SendCommand) {
        let Unseen { create, message_id, placed_again, .. } = unseen;
        let order_id = create.order_id;
        let outcome = if placed_again >= PLACED_AGAIN_MAX {
            tracing::error!(%order_id, placed_again, command = ?create, "an accepted order is lost");
            self.seen(order_id);
            "lost"
        } else {
            let (pattern, timestamp) = (ORDER_CREATE, create.placed_at);
            let command = Command { pattern, data: &*create, message_id, timestamp };
            // Until it is answered, or for a while.
            self.state().postpone(
                order_id,
                self.settings.patience * 2_u32.pow(placed_again),
                placed_again + 1,
            );
            match commands.send(&command, client.deadline(), Some(ANSWER_WAIT)).await {
                Ok(Accepted::Answered(Ok(_))) => {
                    tracing::error!(
                        %order_id,
                        "an accepted order had not reached order-service and was placed again: `waybill doctor` with \
                         RABBITMQ_MANAGEMENT_URL names policies that drop messages"
                    );
                    self.seen(order_id);
                    "placed"
                }
                Ok(Accepted::Answered(Err(failure))) => {
                    tracing::error!(%order_id, %failure, "an accepted order was placed again and is a dead letter");
                    self.seen(order_id);
                    "dead_letter"
                }
                Ok(Accepted::Unanswered) => "unanswered",
                Err(error) => {
                    tracing::warn!(%order_id, %error, "an accepted order could not be placed again yet");
                    self.state().postpone(order_id, self.settings.patience, placed_again);
                    "unsent"
                }
            }
        };
        metrics::counter!("waybill_orders_placed_again_total", "outcome" => outcome).increment(1);
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
        let ask_at = Instant::now() + self.settings.patience;
        let unseen = Unseen { create: Arc::new(create.clone()), message_id, ask_at, placed_again: 0 };
        // Sent again with its key, the order is another message's too; the first one's id is as good.
        if let std::collections::hash_map::Entry::Vacant(entry) = state.orders.entry(create.order_id) {
            entry.insert(unseen);
            state.bytes += bytes;
            state.update_gauge();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The orders to ask about now, at most [`BATCH`].
    fn due(&self, now: Instant) -> Vec<Unseen> {
        self.orders.values().filter(|unseen| unseen.ask_at <= now).take(BATCH).cloned().collect()
    }

    fn postpone(&mut self, order_id: OrderId, by: Duration, placed_again: u32) {
        if let Some(unseen) = self.orders.get_mut(&order_id) {
            (unseen.ask_at, unseen.placed_again) = (Instant::now() + by, placed_again);
        }
    }

    fn remove(&mut self, order_id: OrderId) {
        if self.orders.is_empty() {
            return;
        }
        if let Some(unseen) = self.orders.remove(&order_id) {
            self.bytes -= bytes_of(&unseen.create);
            self.is_full = false;
            self.update_gauge();
        }
    }

    fn update_gauge(&self) {
        self.gauge.set(self.orders.len() as f64);
    }
}

/// Remembers an order when dropped, unless it was answered or was not accepted.
pub(crate) struct UnseenGuard<'a> {
    orders: &'a UnseenOrders,
    create: &'a CreateOrder,
    message_id: Uuid,
    is_seen: bool,
}

impl UnseenGuard<'_> {
    /// The order needs no watching: it was answered, or an error has told the client that it may not be accepted.
    pub(crate) fn release(mut self) {
        self.is_seen = true;
    }
}

impl Drop for UnseenGuard<'_> {
    fn drop(&mut self) {
        if !self.is_seen {
            self.orders.remember(self.create, self.message_id);
        }
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
