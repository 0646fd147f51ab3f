use schema::ids::OrderId;
use schema::inventory_messages::ReservationState;
use schema::order::{LineItem, OrderStatus};
use schema::order_events::{EventKind, OrderEvent};
use schema::order_messages::Item;

use super::UnitOfWork;

/// The state of an order, as an event or order-service's answer reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedState {
    pub order_id: OrderId,
    /// The status; of a deleted order, the last one.
    pub status: OrderStatus,
    pub version: u32,
    pub deleted: bool,
    /// The order's items, if the report has them.
    pub desired: Option<DesiredState>,
}

/// The stock that an order needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredState {
    pub fingerprint: String,
    pub items: Vec<Item>,
}

impl From<&OrderEvent> for ReportedState {
    fn from(event: &OrderEvent) -> Self {
        let item = |line: &LineItem| Item { product_id: line.product_id.clone(), quantity: line.quantity };
        Self {
            order_id: event.order_id,
            status: event.order.status,
            version: event.version,
            deleted: event.kind == EventKind::Deleted,
            desired: Some(DesiredState {
                fingerprint: event.order.fingerprint.clone(),
                items: event.order.line_items.iter().map(item).collect(),
            }),
        }
    }
}

/// The result of reconciling an order's stock with its reported state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconciled {
    /// The state was known already.
    Stale,
    /// The order's stock is as its state requires.
    Done,
    /// The order's stock was not held, and now is. This must not happen: an operator should know.
    Repaired,
    /// The order's stock is not as its state requires, and cannot be: an operator has to act.
    Inconsistent(&'static str),
}

/// What an order's state requires of its stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Undecided,
    Held,
    Deducted,
    Released,
}

impl Target {
    fn new(status: OrderStatus, deleted: bool) -> Self {
        match (status, deleted) {
            (OrderStatus::Delivered, _) | (OrderStatus::Shipped, false) => Self::Deducted,
            (_, true) | (OrderStatus::Cancelled | OrderStatus::Rejected, false) => Self::Released,
            (OrderStatus::Processing, false) => Self::Held,
            (OrderStatus::Pending, false) => Self::Undecided,
        }
    }
}

impl ReportedState {
    /// Whether the state requires no other stock than an order in order has already.
    pub fn may_keep_stock(&self) -> bool {
        matches!(Target::new(self.status, self.deleted), Target::Undecided | Target::Held)
    }
}

impl UnitOfWork {
    /// Whether reconciling an order leaves the stock of every product as it is: known without the products.
    pub fn keeps_stock(&self, reported: &ReportedState) -> bool {
        match (self.reservation(reported.order_id), Target::new(reported.status, reported.deleted)) {
            (Some(reservation), _) if reported.version <= reservation.version => true,
            (_, Target::Undecided) => true,
            (Some(_), Target::Held) => self.holds(reported),
            _ => false,
        }
    }

    /// Brings an order's stock to what its reported state requires, if the report is the newest.
    ///
    /// The target depends on the state alone, never on the step that led to it: reports that repeat, overtake one another
    /// or are missing lead to the same stock.
    pub fn reconcile(&mut self, reported: &ReportedState) -> Reconciled {
        let target = Target::new(reported.status, reported.deleted);
        match self.reservation(reported.order_id) {
            Some(reservation) if reported.version < reservation.version => return Reconciled::Stale,
            Some(reservation) if reported.version == reservation.version => {
                self.record(reported, reservation.confirmed);
                return Reconciled::Stale;
            }
            None if target == Target::Undecided => return Reconciled::Done,
            _ => {}
        }
        let reconciled = self.bring_to(target, reported);
        // Without the order's items no stock can be held: the event, which has them, may still come.
        if matches!(reconciled, Reconciled::Inconsistent(_)) && reported.desired.is_none() {
            return reconciled;
        }
        self.record(reported, matches!(target, Target::Held | Target::Deducted));
        reconciled
    }

    /// Releases what an attempt holds that no order will come of. A later attempt is left alone.
    pub fn void(&mut self, order_id: OrderId, attempt: u32) -> Reconciled {
        match self.reservation(order_id) {
            Some(held) if held.state == ReservationState::Held && held.attempt <= attempt => {
                if held.version > 0 {
                    return Reconciled::Inconsistent(
                        "order-service reported the order before, and now denies it",
                    );
                }
                self.end_hold(order_id, ReservationState::Void);
                Reconciled::Done
            }
            _ => Reconciled::Stale,
        }
    }

    fn bring_to(&mut self, target: Target, reported: &ReportedState) -> Reconciled {
        let state = self.reservation(reported.order_id).map(|reservation| reservation.state);
        let deducted = state == Some(ReservationState::Deducted);
        match target {
            Target::Undecided => Reconciled::Done,
            Target::Deducted if deducted => Reconciled::Done,
            Target::Held | Target::Released if deducted => {
                Reconciled::Inconsistent("the order's stock has gone out already")
            }
            Target::Released => {
                self.end_hold(reported.order_id, ReservationState::Released);
                Reconciled::Done
            }
            Target::Held | Target::Deducted => {
                let held = self.holds(reported);
                if !held && !self.hold_desired(reported) {
                    return Reconciled::Inconsistent("the order's stock is not held, and not available");
                }
                if target == Target::Deducted {
                    self.end_hold(reported.order_id, ReservationState::Deducted);
                }
                if held { Reconciled::Done } else { Reconciled::Repaired }
            }
        }
    }

    /// Whether exactly the desired stock is held for the order.
    fn holds(&self, reported: &ReportedState) -> bool {
        let Some(reservation) = self.reservation(reported.order_id) else { return false };
        let same = |desired: &DesiredState| {
            let held = |item: &Item| {
                let line = reservation.lines.iter().find(|line| line.product_id == item.product_id);
                line.is_some_and(|line| line.quantity == item.quantity)
            };
            desired.items.len() == reservation.lines.len() && desired.items.iter().all(held)
        };
        reservation.state == ReservationState::Held && reported.desired.as_ref().is_none_or(same)
    }

    /// Holds the desired stock in the place of any other that is held for the order; returns whether it was available.
    fn hold_desired(&mut self, reported: &ReportedState) -> bool {
        let Some(desired) = &reported.desired else { return false };
        if self.reservation(reported.order_id).is_some_and(|held| held.state == ReservationState::Held) {
            self.end_hold(reported.order_id, ReservationState::Void);
        }
        let Ok(lines) = self.price(&desired.items) else { return false };
        self.hold(reported.order_id, lines);
        true
    }

    fn record(&mut self, reported: &ReportedState, confirmed: bool) {
        let (now, hold_time) = (self.now, self.hold_time);
        let reservation = self.reservation_mut(reported.order_id);
        reservation.version = reported.version;
        reservation.reported_at = now;
        reservation.confirmed = confirmed;
        if reservation.state == ReservationState::Held {
            reservation.ask_at = Some(hold_time.ask_at(now, confirmed));
        }
        if let (true, Some(desired)) = (reservation.fingerprint.is_empty(), &reported.desired) {
            reservation.fingerprint.clone_from(&desired.fingerprint);
        }
    }
}
