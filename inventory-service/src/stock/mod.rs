//! Decisions about stock, without IO: how much there is, and which order holds it.
//!
//! A [`UnitOfWork`] has the products and reservations that some messages concern, loaded and locked. Its methods decide
//! and change it, with one movement in the ledger for every change of stock; its owner saves what changed.

mod adjust;
mod reconcile;
mod reserve;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schema::ids::{OrderId, ProductId};
use schema::inventory_messages::{ReservationState, ReservedItem};
use schema::money::Money;
use schema::product::Product;
use schema::time::Timestamp;
use uuid::Uuid;

pub use reconcile::{DesiredState, Reconciled, ReportedState};

/// The products and reservations that some messages concern, and what is decided about them.
#[derive(Debug, Clone)]
pub struct UnitOfWork {
    /// The database's time.
    pub now: Timestamp,
    pub hold_time: HoldTime,
    /// Every product concerned that exists.
    pub products: BTreeMap<ProductId, Row<StockedProduct>>,
    /// Every order concerned that has a row; its lines' products are among `products`.
    pub reservations: BTreeMap<OrderId, Row<Reservation>>,
    /// The adjustments concerned that were made already.
    pub adjustments: BTreeSet<Uuid>,
    /// The movements decided here, in order.
    pub movements: Vec<Movement>,
    /// Whether more of a product changed than its stock.
    pub details_changed: bool,
}

impl UnitOfWork {
    pub fn new(now: Timestamp, hold_time: HoldTime) -> Self {
        Self {
            now,
            hold_time,
            products: BTreeMap::new(),
            reservations: BTreeMap::new(),
            adjustments: BTreeSet::new(),
            movements: Vec::new(),
            details_changed: false,
        }
    }

    pub fn reservation(&self, order_id: OrderId) -> Option<&Reservation> {
        self.reservations.get(&order_id).map(|row| &row.value)
    }

    pub(crate) fn releases(&self) -> bool {
        self.movements.iter().any(|movement| movement.kind == MovementKind::Release)
    }

    fn product(&self, product_id: &ProductId) -> Option<&StockedProduct> {
        self.products.get(product_id).map(|row| &row.value)
    }

    /// Returns the order's reservation to change; a new void one of attempt 0 if the order has no row.
    fn reservation_mut(&mut self, order_id: OrderId) -> &mut Reservation {
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
                reported_at: now,
                ask_at: None,
                lines: Vec::new(),
                lines_changed: false,
            })
        };
        self.reservations.entry(order_id).or_insert_with(fresh).change()
    }

    /// Holds `lines` for an order that holds nothing.
    fn hold(&mut self, order_id: OrderId, lines: Vec<ReservedItem>) {
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

    /// Ends what an order holds, if anything, and leaves its row in `state`: deducts it from the stock on hand if that is
    /// [`ReservationState::Deducted`], and releases it otherwise.
    fn end_hold(&mut self, order_id: OrderId, state: ReservationState) {
        let deducted = state == ReservationState::Deducted;
        let kind = if deducted { MovementKind::Deduct } else { MovementKind::Release };
        let reservation = self.reservation_mut(order_id);
        let held = reservation.state == ReservationState::Held;
        let lines = if held { reservation.lines.clone() } else { Vec::new() };
        reservation.state = state;
        reservation.ask_at = None;
        for line in lines {
            let quantity = i64::from(line.quantity);
            let on_hand_delta = if deducted { -quantity } else { 0 };
            self.shift(&line.product_id, kind, Cause::Order(order_id), on_hand_delta, -quantity);
        }
    }

    /// Changes a product's stock and writes the ledger.
    fn shift(
        &mut self,
        product_id: &ProductId,
        kind: MovementKind,
        cause: Cause,
        on_hand_delta: i64,
        reserved_delta: i64,
    ) {
        let now = self.now;
        let row =
            self.products.get_mut(product_id).expect("every product that a reservation names is loaded");
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

/// How long a hold may go without a report of its order before order-service is asked about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldTime(pub Duration);

impl HoldTime {
    /// A confirmed hold is asked about rarely: only a missed event makes that worth while.
    const CONFIRMED_FACTOR: u32 = 10;

    pub fn ask_at(self, now: Timestamp, confirmed: bool) -> Timestamp {
        now.plus(if confirmed { self.0.saturating_mul(Self::CONFIRMED_FACTOR) } else { self.0 })
    }
}

/// A row, and what has to be done to store it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row<T> {
    pub value: T,
    /// Whether the database has a row of this key.
    pub stored: bool,
    /// Whether the row differs from the database's.
    pub changed: bool,
}

impl<T> Row<T> {
    pub fn stored(value: T) -> Self {
        Self { value, stored: true, changed: false }
    }

    pub fn new(value: T) -> Self {
        Self { value, stored: false, changed: true }
    }

    pub fn change(&mut self) -> &mut T {
        self.changed = true;
        &mut self.value
    }
}

/// A product with its stock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockedProduct {
    pub id: ProductId,
    pub name: String,
    pub description: String,
    pub unit_price: Money,
    /// Units in the warehouse, never negative.
    pub on_hand: i64,
    /// Units of those that are held for orders, never more than on hand.
    pub reserved: i64,
    /// Whether it can't be ordered any more. Orders that have it keep it.
    pub withdrawn: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl StockedProduct {
    /// Units that are not held for orders.
    pub fn available(&self) -> u32 {
        u32::try_from(self.on_hand - self.reserved).unwrap_or_default()
    }

    /// Returns the product as other services see it.
    pub fn to_product(&self) -> Product {
        Product {
            id: self.id.clone(),
            name: self.name.clone(),
            description: self.description.clone(),
            unit_price: self.unit_price,
            available_quantity: if self.withdrawn { 0 } else { self.available() },
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    pub order_id: OrderId,
    pub state: ReservationState,
    /// The fingerprint of the order's input in the request to reserve.
    pub fingerprint: String,
    /// The attempt that stock was held under; 0 if an order event made the row.
    pub attempt: u32,
    /// The highest order version applied; 0 before any.
    pub version: u32,
    /// Whether order-service has reported an order that relies on this hold.
    pub confirmed: bool,
    pub created_at: Timestamp,
    /// When the order was last reserved for or reported.
    pub reported_at: Timestamp,
    /// When to ask order-service about the order; set exactly while stock is held.
    pub ask_at: Option<Timestamp>,
    /// What is held, or was last, with the names and prices when it was reserved.
    pub lines: Vec<ReservedItem>,
    pub lines_changed: bool,
}

/// One row of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    pub product_id: ProductId,
    pub kind: MovementKind,
    pub cause: Cause,
    /// Units that came in; negative if they went out.
    pub on_hand_delta: i64,
    /// Units that were held; negative if they were released.
    pub reserved_delta: i64,
    pub on_hand_after: i64,
    pub reserved_after: i64,
    pub at: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    Order(OrderId),
    /// An adjustment, made once per id.
    Adjustment {
        id: Uuid,
        reason: String,
    },
}

/// Displayed as the name in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum MovementKind {
    /// Units came in.
    Receive,
    /// Units were lost, broken or miscounted.
    WriteOff,
    /// Units were held for an order.
    Reserve,
    /// Units were released.
    Release,
    /// Units went out with a shipment.
    Deduct,
}
