use schema::ids::OrderId;
use schema::inventory_messages::ReservationState;
use schema::order::OrderStatus;
use schema::order_events::{EventKind, OrderEvent};
use schema::order_messages::Item;

use super::book::Book;

/// News of an order, from an event or from order-service's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Which order.
    pub order_id: OrderId,
    /// Where it stands, or stood when it was deleted.
    pub status: OrderStatus,
    /// Which version that is.
    pub version: u32,
    /// Whether it was deleted.
    pub deleted: bool,
    /// What it asked for, where the news says so.
    pub wanted: Option<Wanted>,
}

/// What an order asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Of its input.
    pub fingerprint: String,
    /// Its products.
    pub items: Vec<Item>,
}

impl From<&OrderEvent> for Heard {
    fn from(event: &OrderEvent) -> Self {
        let item = |line: &schema::order::LineItem| Item {
            product_id: line.product_id.clone(),
            quantity: line.quantity,
        };
        Self {
            order_id: event.order_id,
            status: event.order.status,
            version: event.version,
            deleted: event.kind == EventKind::Deleted,
            wanted: Some(Wanted {
                fingerprint: event.order.fingerprint.clone(),
                items: event.order.line_items.iter().map(item).collect(),
            }),
        }
    }
}

/// What came of news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// It was known already.
    Stale,
    /// The order's stock is as its state calls for.
    Done,
    /// The order's stock was not held, against all rules, and now is: somebody should know.
    Mended,
    /// The order's stock is not as its state calls for, and can't be: somebody has to look.
    Amiss(&'static str),
}

/// What an order's state calls for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Undecided,
    Held,
    Deducted,
    Released,
}

impl Target {
    fn of(status: OrderStatus, deleted: bool) -> Self {
        match (status, deleted) {
            (OrderStatus::Delivered, _) | (OrderStatus::Shipped, false) => Self::Deducted,
            (_, true) | (OrderStatus::Cancelled | OrderStatus::Rejected, false) => Self::Released,
            (OrderStatus::Processing, false) => Self::Held,
            (OrderStatus::Pending, false) => Self::Undecided,
        }
    }
}

impl Book {
    /// Brings an order's stock to what its state calls for, where this is the newest version heard of.
    ///
    /// By state and never by step: whatever is repeated, reordered or missing in between leads to the same stock.
    pub fn follow(&mut self, heard: &Heard) -> Followed {
        let target = Target::of(heard.status, heard.deleted);
        match self.reservation(heard.order_id) {
            Some(reservation) if heard.version < reservation.version => return Followed::Stale,
            Some(reservation) if heard.version == reservation.version => {
                self.hear(heard, reservation.confirmed);
                return Followed::Stale;
            }
            None if target == Target::Undecided => return Followed::Done,
            _ => {}
        }
        let followed = self.bring_to(target, heard);
        // Without knowing what the order wants there is nothing to take: the event itself may yet come and say it.
        if matches!(followed, Followed::Amiss(_)) && heard.wanted.is_none() {
            return followed;
        }
        self.hear(heard, matches!(target, Target::Held | Target::Deducted));
        followed
    }

    /// Gives back what an attempt holds that no order will come of. A later attempt is left alone.
    pub fn void(&mut self, order_id: OrderId, attempt: u32) -> Followed {
        match self.reservation(order_id) {
            Some(reservation)
                if reservation.state != ReservationState::Held || reservation.attempt > attempt =>
            {
                Followed::Stale
            }
            Some(reservation) if reservation.version > 0 => {
                Followed::Amiss("an order that was told of is said not to exist")
            }
            Some(_) => {
                self.release(order_id, ReservationState::Void);
                Followed::Done
            }
            None => Followed::Stale,
        }
    }

    fn bring_to(&mut self, target: Target, heard: &Heard) -> Followed {
        let state = self.reservation(heard.order_id).map(|reservation| reservation.state);
        let gone = state == Some(ReservationState::Deducted);
        match target {
            Target::Undecided => Followed::Done,
            Target::Deducted if gone => Followed::Done,
            Target::Held | Target::Released if gone => Followed::Amiss("its stock has gone out already"),
            Target::Released => {
                self.release(heard.order_id, ReservationState::Released);
                Followed::Done
            }
            Target::Held | Target::Deducted => {
                let held = self.holds(heard);
                if !held && !self.take(heard) {
                    return Followed::Amiss("its stock is not held, and not to be had");
                }
                if target == Target::Deducted {
                    self.deduct(heard.order_id);
                }
                if held { Followed::Done } else { Followed::Mended }
            }
        }
    }

    /// Whether exactly what the order wants is held for it.
    fn holds(&self, heard: &Heard) -> bool {
        let Some(reservation) = self.reservation(heard.order_id) else { return false };
        let same = |wanted: &Wanted| {
            let held = |item: &Item| {
                let line = reservation.lines.iter().find(|line| line.product_id == item.product_id);
                line.is_some_and(|line| line.quantity == item.quantity)
            };
            wanted.items.len() == reservation.lines.len() && wanted.items.iter().all(held)
        };
        reservation.state == ReservationState::Held && heard.wanted.as_ref().is_none_or(same)
    }

    /// Takes what the order wants in the place of whatever is held for it, if that can be had.
    fn take(&mut self, heard: &Heard) -> bool {
        let Some(wanted) = &heard.wanted else { return false };
        if self.reservation(heard.order_id).is_some_and(|held| held.state == ReservationState::Held) {
            self.release(heard.order_id, ReservationState::Void);
        }
        let Ok(lines) = self.decide(&wanted.items) else { return false };
        self.hold_lines(heard.order_id, lines);
        true
    }

    fn hear(&mut self, heard: &Heard, confirmed: bool) {
        let (now, hold_time) = (self.now, self.hold_time);
        let reservation = self.reservation_mut(heard.order_id);
        reservation.version = heard.version;
        reservation.heard_at = now;
        reservation.confirmed = confirmed;
        if reservation.state == ReservationState::Held {
            reservation.ask_at = Some(hold_time.ask_at(now, confirmed));
        }
        if let (true, Some(wanted)) = (reservation.fingerprint.is_empty(), &heard.wanted) {
            reservation.fingerprint.clone_from(&wanted.fingerprint);
        }
    }
}
