use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schema::ids::{OrderId, ProductId};
use schema::inventory_messages::ReservationState;
use schema::time::Timestamp;
use uuid::Uuid;

use super::rows::{Cause, Line, Movement, MovementKind, Reservation, Row, StockedProduct};

/// How long a hold may be unheard of before order-service is asked about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldTime(pub Duration);

impl HoldTime {
    /// An order that stands on its hold is asked about rarely: only a missed event makes that worth while.
    const CONFIRMED_FACTOR: u32 = 10;

    /// When to ask next.
    pub fn ask_at(self, now: Timestamp, confirmed: bool) -> Timestamp {
        now.plus(if confirmed { self.0.saturating_mul(Self::CONFIRMED_FACTOR) } else { self.0 })
    }
}

/// The products and reservations that some messages concern, and what is decided about them.
#[derive(Debug, Clone)]
pub struct Book {
    /// The database's time.
    pub now: Timestamp,
    /// How long holds go unheard of.
    pub hold_time: HoldTime,
    /// Every product concerned that there is.
    pub products: BTreeMap<ProductId, Row<StockedProduct>>,
    /// Every order concerned that has a row; its lines' products are among `products`.
    pub reservations: BTreeMap<OrderId, Row<Reservation>>,
    /// Of the adjustments concerned, those that were made.
    pub adjustments: BTreeSet<Uuid>,
    /// The movements decided here, in order.
    pub movements: Vec<Movement>,
}

impl Book {
    /// A book without rows.
    pub fn new(now: Timestamp, hold_time: HoldTime) -> Self {
        Self {
            now,
            hold_time,
            products: BTreeMap::new(),
            reservations: BTreeMap::new(),
            adjustments: BTreeSet::new(),
            movements: Vec::new(),
        }
    }

    /// An order's row, if it has one.
    pub fn reservation(&self, order_id: OrderId) -> Option<&Reservation> {
        self.reservations.get(&order_id).map(|row| &row.value)
    }

    /// Whether it gives stock back.
    pub(crate) fn releases(&self) -> bool {
        self.movements.iter().any(|movement| movement.kind == MovementKind::Release)
    }

    pub(super) fn product(&self, product_id: &ProductId) -> Option<&StockedProduct> {
        self.products.get(product_id).map(|row| &row.value)
    }

    /// The order's row, to be changed; a void one of attempt 0 where there is none.
    pub(super) fn reservation_mut(&mut self, order_id: OrderId) -> &mut Reservation {
        let now = self.now;
        let fresh = || {
            Row::new(Reservation {
                order_id,
                state: ReservationState::Void,
                fingerprint: String::new(),
                attempt: 0,
                version: 0,
                confirmed: false,
                created_at: now,
                heard_at: now,
                ask_at: None,
                lines: Vec::new(),
                lines_changed: false,
            })
        };
        self.reservations.entry(order_id).or_insert_with(fresh).change()
    }

    /// Sets `lines` aside for an order that holds nothing.
    pub(super) fn hold_lines(&mut self, order_id: OrderId, lines: Vec<Line>) {
        for line in &lines {
            let quantity = i64::from(line.quantity);
            self.shift(&line.product_id, MovementKind::Reserve, Cause::Order(order_id), 0, quantity);
        }
        let (now, hold_time) = (self.now, self.hold_time);
        let reservation = self.reservation_mut(order_id);
        reservation.state = ReservationState::Held;
        reservation.ask_at = Some(hold_time.ask_at(now, reservation.confirmed));
        reservation.lines = lines;
        reservation.lines_changed = true;
    }

    /// Gives back what an order holds, if anything, and leaves its row in `state`.
    pub(super) fn release(&mut self, order_id: OrderId, state: ReservationState) {
        self.end_hold(order_id, state, MovementKind::Release);
    }

    /// Sends out what an order holds.
    pub(super) fn deduct(&mut self, order_id: OrderId) {
        self.end_hold(order_id, ReservationState::Deducted, MovementKind::Deduct);
    }

    fn end_hold(&mut self, order_id: OrderId, state: ReservationState, kind: MovementKind) {
        let reservation = self.reservation_mut(order_id);
        let held = reservation.state == ReservationState::Held;
        let lines = if held { reservation.lines.clone() } else { Vec::new() };
        reservation.state = state;
        reservation.ask_at = None;
        for line in lines {
            let quantity = i64::from(line.quantity);
            let gone = if kind == MovementKind::Deduct { -quantity } else { 0 };
            self.shift(&line.product_id, kind, Cause::Order(order_id), gone, -quantity);
        }
    }

    /// Changes a product's stock and writes the ledger.
    pub(super) fn shift(
        &mut self,
        product_id: &ProductId,
        kind: MovementKind,
        cause: Cause,
        on_hand_delta: i64,
        reserved_delta: i64,
    ) {
        let now = self.now;
        let row = self.products.get_mut(product_id).expect("a book holds every product that its rows name");
        let product = row.change();
        product.on_hand += on_hand_delta;
        product.reserved += reserved_delta;
        product.updated_at = now;
        self.movements.push(Movement {
            product_id: product_id.clone(),
            kind,
            cause,
            on_hand_delta,
            reserved_delta,
            on_hand_after: product.on_hand,
            reserved_after: product.reserved,
            at: now,
        });
    }
}
