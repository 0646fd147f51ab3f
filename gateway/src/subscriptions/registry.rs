use metrics::Gauge;
use schema::ids::{CustomerId, OrderId};
use schema::order_events::OrderEvent;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::mpsc;

use super::SubscriptionError;

/// What events are dispatched by: everything, a customer's orders, or one order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Topic {
    All,
    Customer(CustomerId),
    Order(OrderId),
}

/// The subscriptions of one gateway by topic. Dispatching an event costs only the subscriptions to its topics.
pub(super) struct SubscriptionRegistry {
    state: Mutex<State>,
    capacity: usize,
    max: usize,
    gauge: Gauge,
}

#[derive(Default)]
struct State {
    position: Option<i64>,
    next_id: u64,
    subscriptions: usize,
    by_topic: HashMap<Topic, BTreeMap<u64, SubscriptionSlot>>,
}

/// The registry's end of a subscription.
struct SubscriptionSlot {
    events: mpsc::Sender<Arc<OrderEvent>>,
    disconnected: Arc<OnceLock<Disconnected>>,
}

/// Why the registry ended a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disconnected {
    /// Its queue was full. Every event of its topic up to this position is in the queue.
    After(i64),
    /// The sequence that its positions belong to has ended.
    Reset,
}

/// Receives every event of its topic after `position`, until it is dropped or disconnected.
pub(super) struct Subscription {
    registry: Arc<SubscriptionRegistry>,
    topic: Topic,
    id: u64,
    /// Where it started.
    pub(super) position: i64,
    events: mpsc::Receiver<Arc<OrderEvent>>,
    disconnected: Arc<OnceLock<Disconnected>>,
}

impl SubscriptionRegistry {
    /// `capacity` is a subscription's unread events, `max` the number of subscriptions.
    pub(super) fn new(capacity: usize, max: usize) -> Self {
        let gauge = metrics::gauge!("waybill_subscribers");
        Self { state: Mutex::default(), capacity, max, gauge }
    }

    /// The last position that was dispatched.
    pub(super) fn position(&self) -> Option<i64> {
        self.state().position
    }

    /// Hands an event to the subscriptions to its topics. One whose queue is full is disconnected.
    pub(super) fn dispatch(&self, event: &Arc<OrderEvent>) {
        let mut state = self.state();
        state.position = Some(event.position);
        let topics = [Topic::All, Topic::Customer(event.customer_id.clone()), Topic::Order(event.order_id)];
        for topic in topics {
            if let Some(slots) = state.by_topic.get_mut(&topic) {
                let before = slots.len();
                slots.retain(|_, slot| slot.offer(event));
                let disconnected = before - slots.len();
                self.on_removed(&mut state, &topic, disconnected);
            }
        }
    }

    /// Notes that every event up to this position was dispatched.
    pub(super) fn advance(&self, position: i64) {
        self.state().position = Some(position);
    }

    /// Disconnects every subscription, since positions have lost their meaning; there are none until the next
    /// [`Self::advance`].
    pub(super) fn reset(&self) {
        let mut state = self.state();
        state.position = None;
        state.subscriptions = 0;
        self.update_gauge(&state);
        for slot in std::mem::take(&mut state.by_topic).into_values().flat_map(BTreeMap::into_values) {
            let _ = slot.disconnected.set(Disconnected::Reset);
        }
    }

    /// Subscribes from the current position on.
    pub(super) fn subscribe(self: &Arc<Self>, topic: Topic) -> Result<Subscription, SubscriptionError> {
        let (sender, events) = mpsc::channel(self.capacity);
        let disconnected = Arc::new(OnceLock::new());
        let mut state = self.state();
        let position = state.position.ok_or(SubscriptionError::NotReady)?;
        if state.subscriptions >= self.max {
            return Err(SubscriptionError::TooMany);
        }
        state.next_id += 1;
        state.subscriptions += 1;
        self.update_gauge(&state);
        let id = state.next_id;
        let slot = SubscriptionSlot { events: sender, disconnected: Arc::clone(&disconnected) };
        state.by_topic.entry(topic.clone()).or_default().insert(id, slot);
        Ok(Subscription { registry: Arc::clone(self), topic, id, position, events, disconnected })
    }

    fn on_removed(&self, state: &mut State, topic: &Topic, removed: usize) {
        state.subscriptions -= removed;
        self.update_gauge(state);
        if state.by_topic.get(topic).is_some_and(BTreeMap::is_empty) {
            state.by_topic.remove(topic);
        }
    }

    fn update_gauge(&self, state: &State) {
        self.gauge.set(state.subscriptions as f64);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SubscriptionSlot {
    /// Disconnects a subscription whose queue has no room for the event; returns whether there was room.
    fn offer(&self, event: &Arc<OrderEvent>) -> bool {
        let offered = self.events.try_send(Arc::clone(event)).is_ok();
        if !offered {
            metrics::counter!("waybill_slow_subscribers_total").increment(1);
            // Before the subscription can see that its queue has ended.
            let _ = self.disconnected.set(Disconnected::After(event.position - 1));
        }
        offered
    }
}

impl Subscription {
    /// Waits for the next event of the topic; fails once the subscription is disconnected and its queue is read.
    pub(super) async fn next(&mut self) -> Result<Arc<OrderEvent>, Disconnected> {
        let event = self.events.recv().await;
        event.ok_or_else(|| self.disconnected.get().copied().unwrap_or(Disconnected::Reset))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut state = self.registry.state();
        let removed = state.by_topic.get_mut(&self.topic).and_then(|slots| slots.remove(&self.id));
        if removed.is_some() {
            self.registry.on_removed(&mut state, &self.topic, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::{order_events::EventKind, order_messages::CreateOrder};

    /// The creation of a customer's only order.
    fn event(position: i64, customer: &str) -> Arc<OrderEvent> {
        let customer_id: CustomerId = customer.parse().unwrap();
        let occurred_at = "2026-11-23T19:10:51.371Z".parse().unwrap();
        let create = CreateOrder {
            order_id: OrderId::for_idempotency_key(&customer_id, "the only one"),
            customer_id: customer_id.clone(),
            items: Vec::new(),
            shipping_address: None,
            idempotency_key: None,
            placed_at: occurred_at,
        };
        Arc::new(OrderEvent {
            position,
            kind: EventKind::Created,
            order_id: create.order_id,
            customer_id,
            version: 1,
            previous_status: None,
            occurred_at,
            order: create.pending_order(1, occurred_at),
        })
    }

    fn registry() -> Arc<SubscriptionRegistry> {
        let registry = Arc::new(SubscriptionRegistry::new(2, 3));
        registry.advance(10);
        registry
    }

    fn topic(customer: &str) -> Topic {
        Topic::Customer(customer.parse().unwrap())
    }

    #[tokio::test]
    async fn an_event_reaches_the_subscriptions_to_its_topics() {
        let registry = registry();
        let mut ada = registry.subscribe(topic("ADA")).unwrap();
        let mut bob = registry.subscribe(topic("BOB")).unwrap();
        let mut warehouse = registry.subscribe(Topic::All).unwrap();
        registry.dispatch(&event(11, "BOB"));
        registry.dispatch(&event(12, "ADA"));
        assert_eq!(bob.next().await.unwrap().position, 11);
        assert_eq!(ada.next().await.unwrap().position, 12);
        assert_eq!(warehouse.next().await.unwrap().position, 11);
        assert_eq!(warehouse.next().await.unwrap().position, 12);
        assert_eq!(registry.position(), Some(12));
    }

    #[tokio::test]
    async fn a_full_subscription_reads_its_queue_and_then_knows_from_where_to_replay() {
        let registry = registry();
        let mut ada = registry.subscribe(topic("ADA")).unwrap();
        for position in [11, 13, 17, 18] {
            registry.dispatch(&event(position, "ADA"));
        }
        assert_eq!(ada.next().await.unwrap().position, 11);
        assert_eq!(ada.next().await.unwrap().position, 13);
        assert_eq!(ada.next().await.unwrap_err(), Disconnected::After(16));
    }

    #[tokio::test]
    async fn subscriptions_are_bounded_and_make_room_when_dropped_or_disconnected() {
        let registry = registry();
        let ada = registry.subscribe(topic("ADA")).unwrap();
        let _slow = registry.subscribe(topic("BOB")).unwrap();
        let _slow_too = registry.subscribe(Topic::All).unwrap();
        assert!(matches!(registry.subscribe(topic("ADA")), Err(SubscriptionError::TooMany)));
        drop(ada);
        let _third = registry.subscribe(topic("ADA")).unwrap();
        for position in 11..14 {
            registry.dispatch(&event(position, "BOB"));
        }
        assert!(registry.subscribe(topic("ADA")).is_ok());
    }

    #[tokio::test]
    async fn a_reset_disconnects_every_subscription() {
        let registry = registry();
        let mut ada = registry.subscribe(topic("ADA")).unwrap();
        registry.reset();
        assert_eq!(ada.next().await.unwrap_err(), Disconnected::Reset);
        assert!(matches!(registry.subscribe(topic("ADA")), Err(SubscriptionError::NotReady)));
    }
}
