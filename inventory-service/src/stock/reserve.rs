use std::cmp::Ordering;

use schema::ids::ProductId;
use schema::inventory_messages::{ReservationState, Reserve, Reserved, ReservedItem};
use schema::order::Shortfall;
use schema::order_messages::Item;

use super::{Reservation, UnitOfWork};

/// What to do about a request to reserve, by the order's row.
enum Action {
    /// Nothing is held: decide.
    Decide,
    /// A lesser attempt holds stock: release it, then decide.
    Supersede,
    Answer(Reserved),
}

impl UnitOfWork {
    /// Holds stock for one order: everything or nothing, once per order and attempt.
    ///
    /// A repeat with the same attempt and fingerprint gets the same answer. A greater attempt supersedes a hold that is
    /// not confirmed. A lesser attempt, and any attempt for an order whose stock is settled, is answered as closed. A
    /// refusal leaves no row behind.
    pub fn reserve(&mut self, request: &Reserve) -> Reserved {
        match action(self.reservation(request.order_id), request) {
            Action::Answer(answer) => return answer,
            Action::Supersede => self.end_hold(request.order_id, ReservationState::Void),
            Action::Decide => {}
        }
        let withdrawn =
            |item: &&Item| self.product(&item.product_id).is_some_and(|product| product.withdrawn);
        let withdrawn: Vec<ProductId> =
            request.items.iter().filter(withdrawn).map(|item| item.product_id.clone()).collect();
        if !withdrawn.is_empty() {
            return Reserved::UnknownProducts { product_ids: withdrawn };
        }
        let items = match self.price(&request.items) {
            Ok(items) => items,
            Err(refusal) => return refusal,
        };
        self.hold(request.order_id, items.clone());
        let now = self.now;
        let reservation = self.reservation_mut(request.order_id);
        reservation.fingerprint.clone_from(&request.fingerprint);
        reservation.attempt = request.attempt;
        reservation.reported_at = now;
        Reserved::Reserved { items }
    }

    /// Returns the priced lines if all of them are available now, the refusal otherwise.
    pub(super) fn price(&self, items: &[Item]) -> Result<Vec<ReservedItem>, Reserved> {
        let mut lines = Vec::with_capacity(items.len());
        let (mut unknown, mut shortfalls) = (Vec::new(), Vec::new());
        for Item { product_id, quantity } in items {
            let Some(product) = self.product(product_id) else {
                unknown.push(product_id.clone());
                continue;
            };
            if product.available() < *quantity {
                shortfalls.push(Shortfall {
                    product_id: product_id.clone(),
                    requested: *quantity,
                    available: product.available(),
                });
            }
            lines.push(ReservedItem {
                product_id: product_id.clone(),
                quantity: *quantity,
                name: product.name.clone(),
                unit_price: product.unit_price,
            });
        }
        if !unknown.is_empty() {
            Err(Reserved::UnknownProducts { product_ids: unknown })
        } else if !shortfalls.is_empty() {
            Err(Reserved::OutOfStock { shortfalls, items: lines })
        } else {
            Ok(lines)
        }
    }
}

fn action(reservation: Option<&Reservation>, request: &Reserve) -> Action {
    let Some(reservation) = reservation else { return Action::Decide };
    let attempt = request.attempt.cmp(&reservation.attempt);
    match (reservation.state, attempt) {
        // A voided attempt must not be held again: order-service has promised that no order comes of it.
        (ReservationState::Void, Ordering::Greater) => Action::Decide,
        (ReservationState::Held, Ordering::Greater) if !reservation.confirmed => Action::Supersede,
        (ReservationState::Held, Ordering::Equal) if reservation.fingerprint == request.fingerprint => {
            // In the order of the request, like the first answer; the database has another one.
            let lines = &reservation.lines;
            let line = |item: &Item| lines.iter().find(|line| line.product_id == item.product_id);
            let items: Vec<ReservedItem> = request.items.iter().filter_map(line).cloned().collect();
            Action::Answer(Reserved::Reserved { items })
        }
        (ReservationState::Held, Ordering::Equal) => Action::Answer(Reserved::Conflict),
        _ => Action::Answer(Reserved::Closed),
    }
}
