use metrics::Gauge;
use schema::order_events::OrderEvent;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::mpsc;

use super::interest::Topic;

/// The subscribers of one gateway, by what they want to hear of. An event costs only those it concerns.
pub(super) struct Seats {
    plan: Mutex<Plan>,
    capacity: usize,
    max: usize,
    shown: Gauge,
}

#[derive(Default)]
struct Plan {
    position: Option<i64>,
    next_id: u64,
    taken: usize,
    by_topic: HashMap<Topic, BTreeMap<u64, Place>>,
}

/// The hub's end of a seat.
struct Place {
    events: mpsc::Sender<Arc<OrderEvent>>,
    lost: Arc<OnceLock<Lost>>,
}

/// How a seat was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// Its buffer was full. Everything it was to hear up to this position is in the buffer.
    After(i64),
    /// The sequence that its positions belong to has ended.
    StartedOver,
}

/// Why there is no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoSeat {
    /// The position that it would start at is not known yet.
    UnknownPosition,
    /// All are taken.
    Full,
}

/// A subscriber's seat: it hears every event of its topic after `position`, until it is dropped or lost.
pub(super) struct Seat {
    seats: Arc<Seats>,
    topic: Topic,
    id: u64,
    position: i64,
    events: mpsc::Receiver<Arc<OrderEvent>>,
    lost: Arc<OnceLock<Lost>>,
}

impl Seats {
    pub(super) fn new(capacity: usize, max: usize) -> Self {
        let shown = metrics::gauge!("waybill_subscribers");
        Self { plan: Mutex::default(), capacity, max, shown }
    }

    /// The last position that everybody concerned has been told of.
    pub(super) fn position(&self) -> Option<i64> {
        self.plan().position
    }

    /// Hands an event to those it concerns. Whoever has no room for it loses the seat.
    pub(super) fn tell(&self, event: &Arc<OrderEvent>) {
        let mut plan = self.plan();
        plan.position = Some(event.position);
        for topic in Topic::of(event) {
            if let Some(places) = plan.by_topic.get_mut(&topic) {
                let before = places.len();
                places.retain(|_, place| place.offer(event));
                let lost = before - places.len();
                plan.taken -= lost;
                self.show(&plan);
                plan.forget_if_empty(&topic);
            }
        }
    }

    /// Everything up to this position has been told.
    pub(super) fn advance(&self, position: i64) {
        self.plan().position = Some(position);
    }

    /// Positions have lost their meaning: every seat is lost, and there are none until the next [`Seats::advance`].
    pub(super) fn start_over(&self) {
        let mut plan = self.plan();
        plan.position = None;
        plan.taken = 0;
        self.show(&plan);
        for place in std::mem::take(&mut plan.by_topic).into_values().flat_map(BTreeMap::into_values) {
            place.lose(Lost::StartedOver);
        }
    }

    /// Takes a seat at the current position.
    pub(super) fn take(self: &Arc<Self>, topic: Topic) -> Result<Seat, NoSeat> {
        let (sender, events) = mpsc::channel(self.capacity);
        let lost = Arc::new(OnceLock::new());
        let mut plan = self.plan();
        let position = plan.position.ok_or(NoSeat::UnknownPosition)?;
        if plan.taken >= self.max {
            return Err(NoSeat::Full);
        }
        plan.next_id += 1;
        plan.taken += 1;
        self.show(&plan);
        let id = plan.next_id;
        let place = Place { events: sender, lost: Arc::clone(&lost) };
        plan.by_topic.entry(topic.clone()).or_default().insert(id, place);
        Ok(Seat { seats: Arc::clone(self), topic, id, position, events, lost })
    }

    fn show(&self, plan: &Plan) {
        self.shown.set(plan.taken as f64);
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plan {
    fn forget_if_empty(&mut self, topic: &Topic) {
        if self.by_topic.get(topic).is_some_and(BTreeMap::is_empty) {
            self.by_topic.remove(topic);
        }
    }
}

impl Place {
    /// Says whether it could be handed over.
    fn offer(&self, event: &Arc<OrderEvent>) -> bool {
        let offered = self.events.try_send(Arc::clone(event)).is_ok();
        if !offered {
            metrics::counter!("waybill_slow_subscribers_total").increment(1);
            self.lose(Lost::After(event.position - 1));
        }
        offered
    }

    /// The reason stands before the subscriber can see that the buffer has ended.
    fn lose(&self, reason: Lost) {
        let _ = self.lost.set(reason);
    }
}

impl Seat {
    /// Where it started.
    pub(super) fn position(&self) -> i64 {
        self.position
    }

    /// The next event of the topic, once there is one; or how the seat was lost, once the buffer is read.
    pub(super) async fn next(&mut self) -> Result<Arc<OrderEvent>, Lost> {
        match self.events.recv().await {
            Some(event) => Ok(event),
            None => Err(self.lost.get().copied().unwrap_or(Lost::StartedOver)),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut plan = self.seats.plan();
        let removed = plan.by_topic.get_mut(&self.topic).and_then(|places| places.remove(&self.id));
        if removed.is_some() {
            plan.taken -= 1;
            self.seats.show(&plan);
            plan.forget_if_empty(&self.topic);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::samples::event;

    fn seats() -> Arc<Seats> {
        let seats = Arc::new(Seats::new(2, 2));
        seats.advance(10);
        seats
    }

    fn topic(customer: &str) -> Topic {
        Topic::Customer(customer.parse().unwrap())
    }

    #[tokio::test]
    async fn an_event_reaches_those_it_concerns() {
        let seats = seats();
        let mut ada = seats.take(topic("ADA")).unwrap();
        let mut bob = seats.take(topic("BOB")).unwrap();
        seats.tell(&event(11, "BOB"));
        seats.tell(&event(12, "ADA"));
        assert_eq!(bob.next().await.unwrap().position, 11);
        assert_eq!(ada.next().await.unwrap().position, 12);
        assert_eq!(seats.position(), Some(12));
    }

    #[tokio::test]
    async fn whoever_has_no_room_reads_what_it_has_and_then_knows_from_where_to_replay() {
        let seats = seats();
        let mut ada = seats.take(topic("ADA")).unwrap();
        for position in [11, 13, 17, 18] {
            seats.tell(&event(position, "ADA"));
        }
        assert_eq!(ada.next().await.unwrap().position, 11);
        assert_eq!(ada.next().await.unwrap().position, 13);
        assert_eq!(ada.next().await.unwrap_err(), Lost::After(16));
    }

    #[tokio::test]
    async fn seats_are_bounded_and_free_again_once_left_or_lost() {
        let seats = seats();
        let ada = seats.take(topic("ADA")).unwrap();
        let _slow = seats.take(topic("BOB")).unwrap();
        assert_eq!(seats.take(topic("ADA")).err(), Some(NoSeat::Full));
        drop(ada);
        let _third = seats.take(topic("ADA")).unwrap();
        for position in 11..14 {
            seats.tell(&event(position, "BOB"));
        }
        assert!(seats.take(topic("ADA")).is_ok());
    }

    #[tokio::test]
    async fn starting_over_takes_every_seat_away() {
        let seats = seats();
        let mut ada = seats.take(topic("ADA")).unwrap();
        seats.start_over();
        assert_eq!(ada.next().await.unwrap_err(), Lost::StartedOver);
        assert_eq!(seats.take(topic("ADA")).err(), Some(NoSeat::UnknownPosition));
    }
}
