//! I4: what an order holds, held against where it stands; and each product's books.

use std::collections::BTreeMap;

use schema::ids::ProductId;
use schema::inventory_messages::{AuditedReservation, ReservationState, StockMismatch};
use schema::order::OrderStatus;
use schema::order_messages::{AuditedOrder, Item};

/// What is wrong between an order and its reservation.
pub(super) fn fault(order: &AuditedOrder, reservation: Option<&AuditedReservation>) -> Option<String> {
    let status = standing(order);
    let taken = reservation.filter(|reservation| takes(reservation.state));
    let required = required(order);
    let Some(reservation) = taken else {
        return match required {
            Required::Exactly(state) => {
                let is = reservation.map_or("unknown to inventory".to_owned(), described);
                Some(format!("it is {status}, so its stock must be {}, but it is {is}", state.as_str()))
            }
            Required::AtMostHeld | Required::Nothing => None,
        };
    };
    let is = described(reservation);
    match required {
        Required::Nothing => Some(format!("it is {status}, so it must hold nothing, but its stock is {is}")),
        Required::Exactly(state) if reservation.state != state => {
            Some(format!("it is {status}, so its stock must be {}, but it is {is}", state.as_str()))
        }
        Required::AtMostHeld if reservation.state != ReservationState::Held => {
            Some(format!("it is {status}, so its stock can't have gone out, but it is {is}"))
        }
        Required::Exactly(_) | Required::AtMostHeld => quantities_fault(order, reservation),
    }
}

/// What is wrong with a reservation that no order goes with.
pub(super) fn orphan_fault(reservation: &AuditedReservation) -> Option<String> {
    takes(reservation.state)
        .then(|| format!("there is no such order, but stock is {} for it", described(reservation)))
}

/// What is wrong with a product's books.
pub(super) fn books_fault(books: &StockMismatch) -> String {
    let StockMismatch { on_hand, reserved, ledger_on_hand, ledger_reserved, held, .. } = books;
    format!(
        "its row says {on_hand} on hand and {reserved} reserved, its ledger {ledger_on_hand} and \
         {ledger_reserved}, and orders hold {held}"
    )
}

enum Required {
    Exactly(ReservationState),
    /// PENDING: stock may be held already, or not yet.
    AtMostHeld,
    Nothing,
}

fn required(order: &AuditedOrder) -> Required {
    match (order.status, order.deleted) {
        (OrderStatus::Shipped | OrderStatus::Delivered, _) => Required::Exactly(ReservationState::Deducted),
        (_, true) | (OrderStatus::Cancelled | OrderStatus::Rejected, false) => Required::Nothing,
        (OrderStatus::Processing, false) => Required::Exactly(ReservationState::Held),
        (OrderStatus::Pending, false) => Required::AtMostHeld,
    }
}

fn takes(state: ReservationState) -> bool {
    matches!(state, ReservationState::Held | ReservationState::Deducted)
}

fn standing(order: &AuditedOrder) -> String {
    let deleted = if order.deleted { " and deleted" } else { "" };
    format!("{}{deleted} in version {}", order.status, order.version)
}

/// With the version that inventory has heard of: a stuck order event shows in it.
fn described(reservation: &AuditedReservation) -> String {
    format!("{} as of version {}", reservation.state.as_str(), reservation.version)
}

fn quantities_fault(order: &AuditedOrder, reservation: &AuditedReservation) -> Option<String> {
    let (wanted, taken) = (by_product(&order.items), by_product(&reservation.items));
    let differing =
        wanted.keys().chain(taken.keys()).find(|&product| wanted.get(product) != taken.get(product))?;
    let units = |items: &BTreeMap<&ProductId, u64>| items.get(differing).copied().unwrap_or(0);
    let state = reservation.state.as_str();
    Some(format!("it ordered {} of {differing}, but {} are {state}", units(&wanted), units(&taken)))
}

fn by_product(items: &[Item]) -> BTreeMap<&ProductId, u64> {
    let mut units = BTreeMap::new();
    for item in items {
        *units.entry(&item.product_id).or_default() += u64::from(item.quantity);
    }
    units
}
