//! The comparison: what the services say of the same orders, and what clients were told, side by side.

use std::collections::{BTreeMap, BTreeSet};

use schema::ids::OrderId;
use schema::inventory_messages::{AuditedReservation, ReservationState, StockMismatch};
use schema::order_messages::AuditedOrder;

use super::client_log::{ClientLog, Told};
use super::violation::{Invariant, Violation};
use super::{history, stock};

/// Everything that is known of some orders at one time.
#[derive(Debug, Default, Clone)]
pub(super) struct Facts {
    /// As order-service has them.
    pub(super) orders: Vec<AuditedOrder>,
    /// As inventory-service has them.
    pub(super) reservations: Vec<AuditedReservation>,
    /// Orders that clients were told of, whether anybody has them or not.
    pub(super) told: Vec<OrderId>,
}

/// Every promise that the facts break, by order.
pub(super) fn compare(facts: &Facts, log: &ClientLog) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut orders = BTreeMap::new();
    for order in &facts.orders {
        if orders.insert(order.order_id, order).is_some() {
            violations.push(Violation::of_order(Invariant::I1, order.order_id, "it exists twice"));
        }
    }
    let mut reservations = BTreeMap::new();
    for reservation in &facts.reservations {
        if reservations.insert(reservation.order_id, reservation).is_some() {
            let message = "it has two reservations";
            violations.push(Violation::of_order(Invariant::I4, reservation.order_id, message));
        }
    }
    let ids: BTreeSet<OrderId> =
        orders.keys().chain(reservations.keys()).chain(&facts.told).copied().collect();
    for id in ids {
        let (order, reservation) = (orders.get(&id).copied(), reservations.get(&id).copied());
        violations.extend(of_one(id, order, reservation, log.told(id)));
    }
    violations
}

/// The products whose books don't add up.
pub(super) fn books(mismatches: &[StockMismatch]) -> Vec<Violation> {
    let violation =
        |books: &StockMismatch| Violation::of_product(books.product_id.clone(), stock::books_fault(books));
    mismatches.iter().map(violation).collect()
}

/// Successes that named another order than their key does.
pub(super) fn misnamed(log: &ClientLog) -> Vec<Violation> {
    let violation = |(key, named, told): &(String, OrderId, OrderId)| {
        let message = format!("a client was told {told} under the key {key:?}, which names this order");
        Violation::of_order(Invariant::I1, *named, message)
    };
    log.misnamed.iter().map(violation).collect()
}

fn of_one(
    id: OrderId,
    order: Option<&AuditedOrder>,
    reservation: Option<&AuditedReservation>,
    told: Option<Told>,
) -> Vec<Violation> {
    let stock = match order {
        Some(order) => stock::fault(order, reservation),
        None => reservation.and_then(stock::orphan_fault),
    };
    let path = order.and_then(history::fault);
    let name = order.and_then(name_fault);
    let kept = told.and_then(|told| told_fault(told, order, reservation));
    let found = [(Invariant::I4, stock), (Invariant::I5, path), (Invariant::I1, name)];
    let found = found.into_iter().filter_map(|(invariant, fault)| Some((invariant, fault?))).chain(kept);
    found.map(|(invariant, fault)| Violation::of_order(invariant, id, fault)).collect()
}

/// An order under another id than its key names could be there twice.
fn name_fault(order: &AuditedOrder) -> Option<String> {
    let key = order.idempotency_key.as_deref()?;
    let named = OrderId::for_idempotency_key(&order.customer_id, key);
    (named != order.order_id).then(|| format!("its key {key:?} names order {named}"))
}

fn told_fault(
    told: Told,
    order: Option<&AuditedOrder>,
    reservation: Option<&AuditedReservation>,
) -> Option<(Invariant, String)> {
    let taken = reservation.filter(|reservation| {
        matches!(reservation.state, ReservationState::Held | ReservationState::Deducted)
    });
    match (told, order) {
        (Told::Ok, None) => {
            Some((Invariant::I1, "a client was told that it is placed, but it is not there".to_owned()))
        }
        (Told::Unknown, None) => {
            let fault =
                "its client never learnt what became of it, and it is not there: ask again under its key";
            Some((Invariant::I3, fault.to_owned()))
        }
        (Told::Error, Some(order)) => {
            let fault = format!("a client was told a definite error, but it is there, {}", order.status);
            Some((Invariant::I2, fault))
        }
        (Told::Error, None) => {
            let state = taken?.state.as_str();
            Some((Invariant::I2, format!("a client was told a definite error, but stock is {state} for it")))
        }
        (Told::Ok | Told::Unknown, Some(_)) => None,
    }
}

#[cfg(test)]
mod tests;
