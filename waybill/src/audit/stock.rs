//! The judge's checks of stock: reservations against orders, and the ledger against both.

use std::collections::{BTreeMap, BTreeSet};

use schema::ids::{OrderId, ProductId};
use schema::inventory_messages::{AuditedReservation, ReservationState, StockMismatch};
use schema::order::{OrderStatus, Shortfall};
use schema::order_messages::Item;

use super::facts::{ClientOutcome, Facts, Ledger, MovementFacts, OrderFacts};
use super::report::Invariant::{I2, I4};
use super::report::Violation;

/// Every violation of I4, and of I2 by stock that a failed placement left.
pub(super) fn violations(facts: &Facts) -> Vec<Violation> {
    let mut found = Vec::new();
    check_reservations(facts, &mut found);
    check_rejections(facts, &mut found);
    found.extend(facts.mismatches.iter().map(mismatch_violation));
    if let Some(ledger) = &facts.ledger {
        check_products(facts, ledger, &mut found);
        check_movements_of_orders(facts, ledger, &mut found);
    }
    found
}

fn check_reservations(facts: &Facts, found: &mut Vec<Violation>) {
    let orders: BTreeMap<OrderId, &OrderFacts> =
        facts.orders.iter().map(|order| (order.order_id, order)).collect();
    let mut reservations = BTreeMap::new();
    for reservation in &facts.reservations {
        let id = reservation.order_id;
        if reservations.insert(id, reservation).is_some() {
            found.push(Violation::of_order(I4, id, "it has two reservations"));
        }
        if is_taken(reservation) && !orders.contains_key(&id) {
            let fault = format!("it does not exist, but stock is {} for it", described(reservation));
            found.push(Violation::of_order(I4, id, fault));
        }
    }
    for (id, order) in &orders {
        let reservation = reservations.get(id).copied();
        let fault = reservation_fault(order, reservation, facts.complete);
        found.extend(fault.map(|fault| Violation::of_order(I4, *id, fault)));
    }
    for placement in facts.placements.iter().filter(|placement| placement.outcome == ClientOutcome::Error) {
        let reservation = reservations.get(&placement.order_id).filter(|reservation| {
            // A log of some clients can't say whose attempt held the stock that was released since.
            facts.complete || is_taken(reservation)
        });
        if let Some(reservation) = reservation.filter(|_| !orders.contains_key(&placement.order_id)) {
            let state = reservation.state.as_str();
            let fault = format!("a client was answered a definite error, but stock is {state} for it");
            found.push(Violation::of_order(I2, placement.order_id, fault));
        }
    }
}

/// An order that was REJECTED for want of stock was short of it: by its own figures, and by the ledger at that time.
fn check_rejections(facts: &Facts, found: &mut Vec<Violation>) {
    let mut levels: BTreeMap<&ProductId, BTreeSet<i64>> = BTreeMap::new();
    for movement in facts.ledger.iter().flat_map(|ledger| &ledger.movements) {
        let of_product = levels.entry(&movement.product_id).or_insert_with(|| BTreeSet::from([0]));
        of_product.insert(movement.on_hand_after - movement.reserved_after);
    }
    for order in &facts.orders {
        for Shortfall { product_id, requested, available } in
            order.rejection.iter().flat_map(|rejection| &rejection.shortfalls)
        {
            let mut violate = |fault| found.push(Violation::of_order(I4, order.order_id, fault));
            if available >= requested {
                violate(format!(
                    "it is REJECTED for {requested} of {product_id}, of which {available} were there"
                ));
            }
            let is_level = match facts.levels.get(&(order.order_id, product_id.clone())) {
                Some(known) => known.contains(&i64::from(*available)),
                // All movements are known, but not when they were.
                None => levels.get(product_id).is_none_or(|known| known.contains(&i64::from(*available))),
            };
            if !is_level {
                violate(format!(
                    "it is REJECTED since {available} of {product_id} were available, which was never so at that time"
                ));
            }
        }
    }
}

/// Each product is what its movements and the reservations add up to, and was never oversold.
fn check_products(facts: &Facts, ledger: &Ledger, found: &mut Vec<Violation>) {
    let mut movements: BTreeMap<&ProductId, Vec<&MovementFacts>> = BTreeMap::new();
    for movement in &ledger.movements {
        movements.entry(&movement.product_id).or_default().push(movement);
    }
    let held = facts.reservations.iter().filter(|reservation| reservation.state == ReservationState::Held);
    let held = units(held.flat_map(|reservation| &reservation.items));
    for product in &ledger.products {
        let id = &product.product_id;
        let mut movements = movements.remove(id).unwrap_or_default();
        movements.sort_by_key(|movement| movement.id);
        let (mut on_hand, mut reserved, mut received) = (0, 0, 0);
        for movement in movements {
            on_hand += movement.on_hand_delta;
            reserved += movement.reserved_delta;
            if movement.order_id.is_none() {
                received += movement.on_hand_delta;
            }
            let &MovementFacts { id: movement, on_hand_after, reserved_after, .. } = movement;
            if (on_hand, reserved) != (on_hand_after, reserved_after) || !(0..=on_hand).contains(&reserved) {
                let fault = format!(
                    "movement {movement} leads to {on_hand} on hand and {reserved} reserved, and says {on_hand_after} \
                     and {reserved_after}"
                );
                found.push(Violation::of_product(id, fault));
            }
        }
        let row = StockMismatch {
            product_id: id.clone(),
            on_hand: product.on_hand,
            reserved: product.reserved,
            ledger_on_hand: on_hand,
            ledger_reserved: reserved,
            held: held.get(id).copied().unwrap_or_default(),
        };
        if (row.on_hand, row.reserved, row.reserved) != (on_hand, reserved, row.held) {
            found.push(mismatch_violation(&row));
        }
        let expected = ledger.received.as_ref().map(|all| all.get(id).copied().unwrap_or_default());
        if let Some(expected) = expected.filter(|expected| *expected != received) {
            let fault = format!("its ledger receives {received}, though {expected} were received");
            found.push(Violation::of_product(id, fault));
        }
    }
    for id in movements.keys() {
        found.push(Violation::of_product(id, "it has movements and does not exist"));
    }
}

/// Each order moved exactly what its items and its status call for, and once.
fn check_movements_of_orders(facts: &Facts, ledger: &Ledger, found: &mut Vec<Violation>) {
    /// The sums of an order's movements of a product, and how often it was reserved or deducted beyond what was undone.
    #[derive(Debug, Default, PartialEq, Eq)]
    struct Moved {
        on_hand: i64,
        reserved: i64,
        holds: i64,
        deductions: i64,
    }
    let mut violate = |order_id, fault: String| found.push(Violation::of_order(I4, order_id, fault));
    let mut moved: BTreeMap<(OrderId, &ProductId), Moved> = BTreeMap::new();
    for movement in &ledger.movements {
        let Some(order_id) = movement.order_id else { continue };
        let sums = moved.entry((order_id, &movement.product_id)).or_default();
        sums.on_hand += movement.on_hand_delta;
        sums.reserved += movement.reserved_delta;
        match movement.kind.as_str() {
            "reserve" => sums.holds += 1,
            "release" => sums.holds -= 1,
            "deduct" => (sums.holds, sums.deductions) = (sums.holds - 1, sums.deductions + 1),
            kind => violate(order_id, format!("it has a movement of kind {kind}")),
        }
    }
    for order in &facts.orders {
        let Required::Exactly(state) = required(order, facts.complete) else { continue };
        for (product_id, quantity) in units(&order.items) {
            let expected = match state {
                ReservationState::Deducted => Moved { on_hand: -quantity, deductions: 1, ..Moved::default() },
                _ => Moved { reserved: quantity, holds: 1, ..Moved::default() },
            };
            let is = moved.remove(&(order.order_id, product_id)).unwrap_or_default();
            if is != expected {
                let fault =
                    format!("it calls for {expected:?} of {product_id}, but its movements are {is:?}");
                violate(order.order_id, fault);
            }
        }
    }
    for ((order_id, product_id), moved) in moved {
        if (moved.on_hand, moved.reserved) != (0, 0) {
            violate(
                order_id,
                format!("it calls for nothing of {product_id}, but its movements are {moved:?}"),
            );
        }
    }
}

/// The state that an order requires of its reservation.
enum Required {
    Exactly(ReservationState),
    /// PENDING at work: stock may be held already, or not yet.
    AtMostHeld,
    Nothing,
}

fn required(order: &OrderFacts, at_rest: bool) -> Required {
    match (order.status, order.deleted) {
        (OrderStatus::Shipped | OrderStatus::Delivered, _) => Required::Exactly(ReservationState::Deducted),
        (OrderStatus::Processing, false) => Required::Exactly(ReservationState::Held),
        (OrderStatus::Pending, false) if !at_rest => Required::AtMostHeld,
        _ => Required::Nothing,
    }
}

fn is_taken(reservation: &AuditedReservation) -> bool {
    matches!(reservation.state, ReservationState::Held | ReservationState::Deducted)
}

/// With the version that inventory-service has applied: a stuck order event shows in it.
fn described(reservation: &AuditedReservation) -> String {
    format!("{} as of version {}", reservation.state.as_str(), reservation.version)
}

fn reservation_fault(
    order: &OrderFacts,
    reservation: Option<&AuditedReservation>,
    at_rest: bool,
) -> Option<String> {
    let deleted = if order.deleted { " and deleted" } else { "" };
    let status = format!("it is {}{deleted} in version {}", order.status, order.version);
    let is = reservation.map_or("unknown to inventory".to_owned(), described);
    let taken = reservation.filter(|reservation| is_taken(reservation));
    match (required(order, at_rest), taken) {
        (Required::Exactly(state), taken) if taken.map(|taken| taken.state) != Some(state) => {
            Some(format!("{status}, so its stock must be {}, but it is {is}", state.as_str()))
        }
        (Required::Nothing, Some(_)) => {
            Some(format!("{status}, so it must hold nothing, but its stock is {is}"))
        }
        (Required::AtMostHeld, Some(taken)) if taken.state != ReservationState::Held => {
            Some(format!("{status}, so its stock can't have gone out, but it is {is}"))
        }
        (_, Some(taken)) => quantity_fault(&order.items, taken),
        (_, None) => None,
    }
}

fn quantity_fault(ordered: &[Item], reservation: &AuditedReservation) -> Option<String> {
    let (ordered, taken) = (units(ordered), units(&reservation.items));
    let differing =
        ordered.keys().chain(taken.keys()).find(|product| ordered.get(*product) != taken.get(*product))?;
    let of = |units: &BTreeMap<&ProductId, i64>| units.get(differing).copied().unwrap_or_default();
    let state = reservation.state.as_str();
    Some(format!("it ordered {} of {differing}, but {} are {state}", of(&ordered), of(&taken)))
}

fn units<'a>(items: impl IntoIterator<Item = &'a Item>) -> BTreeMap<&'a ProductId, i64> {
    let mut units = BTreeMap::new();
    for item in items {
        *units.entry(&item.product_id).or_default() += i64::from(item.quantity);
    }
    units
}

fn mismatch_violation(mismatch: &StockMismatch) -> Violation {
    let StockMismatch { product_id, on_hand, reserved, ledger_on_hand, ledger_reserved, held } = mismatch;
    let fault = format!(
        "its row says {on_hand} on hand and {reserved} reserved, its ledger {ledger_on_hand} and \
         {ledger_reserved}, and orders hold {held}"
    );
    Violation::of_product(product_id, fault)
}
