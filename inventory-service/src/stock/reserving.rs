use std::cmp::Ordering;

use schema::inventory_messages::{ReservationState, Reserve, Reserved, ReservedItem};
use schema::order::Shortfall;
use schema::order_messages::Item;

use super::book::Book;
use super::rows::{Line, Reservation, StockedProduct};

/// What an order's row says to somebody who asks for stock for it.
enum Standing {
    /// Nothing is held: decide.
    Open,
    /// A lesser attempt holds stock: give that back and decide.
    Superseded,
    /// Answer without deciding.
    Answered(Reserved),
}

impl Book {
    /// Holds stock for one order: everything or nothing, once per order and attempt.
    ///
    /// Asked again with the same attempt and fingerprint it answers the same. A greater attempt supersedes a hold
    /// that no order is known to stand on; a lesser one, and any for an order whose stock is settled, meets a closed
    /// row. A refusal leaves no row behind.
    pub fn reserve(&mut self, request: &Reserve) -> Reserved {
        match standing(self.reservation(request.order_id), request) {
            Standing::Answered(answer) => return answer,
            Standing::Superseded => self.release(request.order_id, ReservationState::Void),
            Standing::Open => {}
        }
        let lines = match self.decide(&request.items) {
            Ok(lines) => lines,
            Err(refusal) => return refusal,
        };
        let items = lines.iter().map(Line::to_item).collect();
        self.hold_lines(request.order_id, lines);
        let now = self.now;
        let reservation = self.reservation_mut(request.order_id);
        reservation.fingerprint.clone_from(&request.fingerprint);
        reservation.attempt = request.attempt;
        reservation.heard_at = now;
        Reserved::Reserved { items }
    }

    /// The priced lines where all of them can be had now, the refusal otherwise.
    pub(super) fn decide(&self, items: &[Item]) -> Result<Vec<Line>, Reserved> {
        let mut lines = Vec::with_capacity(items.len());
        let (mut unknown, mut shortfalls) = (Vec::new(), Vec::new());
        for Item { product_id, quantity } in items {
            let Some(product) = self.product(product_id) else {
                unknown.push(product_id.clone());
                continue;
            };
            if !suffices(product, *quantity) {
                shortfalls.push(Shortfall {
                    product_id: product_id.clone(),
                    requested: *quantity,
                    available: product.available(),
                });
            }
            lines.push(Line {
                product_id: product_id.clone(),
                quantity: *quantity,
                product_name: product.name.clone(),
                unit_price: product.unit_price,
            });
        }
        if !unknown.is_empty() {
            Err(Reserved::UnknownProducts { product_ids: unknown })
        } else if !shortfalls.is_empty() {
            Err(Reserved::OutOfStock { shortfalls, items: lines.iter().map(Line::to_item).collect() })
        } else {
            Ok(lines)
        }
    }
}

fn suffices(product: &StockedProduct, quantity: u32) -> bool {
    #[cfg(debug_assertions)]
    if service_kit::fault_injection::is_disabled(service_kit::fault_injection::Safeguard::Stock) {
        return true;
    }
    product.available() >= quantity
}

fn standing(reservation: Option<&Reservation>, request: &Reserve) -> Standing {
    let Some(reservation) = reservation else { return Standing::Open };
    let attempt = request.attempt.cmp(&reservation.attempt);
    match (reservation.state, attempt) {
        // The attempt that was voided must not come back: order-service has promised that no order comes of it.
        (ReservationState::Void, Ordering::Greater) => Standing::Open,
        (ReservationState::Held, Ordering::Greater) if !reservation.confirmed => Standing::Superseded,
        (ReservationState::Held, Ordering::Equal) if reservation.fingerprint == request.fingerprint => {
            Standing::Answered(Reserved::Reserved { items: in_order_of(&request.items, &reservation.lines) })
        }
        (ReservationState::Held, Ordering::Equal) => Standing::Answered(Reserved::Conflict),
        _ => Standing::Answered(Reserved::Closed),
    }
}

/// The lines as they were first answered: in the order asked, whatever the database's.
fn in_order_of(items: &[Item], lines: &[Line]) -> Vec<ReservedItem> {
    let line = |item: &Item| lines.iter().find(|line| line.product_id == item.product_id).map(Line::to_item);
    items.iter().filter_map(line).collect()
}
