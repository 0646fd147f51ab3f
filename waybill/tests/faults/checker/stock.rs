//! I4, and with it that each event took effect once: stock, ledger and reservations are what the orders call for.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::facts::{MovementRow, OrderRow};
use super::{Facts, Findings, Promise};

/// What an order's status makes of its stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stock {
    Untouched,
    Held,
    Deducted,
}

impl Stock {
    fn of(order: &OrderRow) -> Self {
        match (order.status.as_str(), order.is_deleted()) {
            ("PROCESSING", false) => Self::Held,
            ("SHIPPED" | "DELIVERED", _) => Self::Deducted,
            _ => Self::Untouched,
        }
    }

    /// The states of a reservation that this shows in; none where there may be no reservation.
    fn states(self) -> &'static [&'static str] {
        match self {
            Self::Untouched => &["released", "void"],
            Self::Held => &["held"],
            Self::Deducted => &["deducted"],
        }
    }
}

/// I4.
pub(super) fn stock_agrees(facts: &Facts) -> Findings {
    let mut findings = Findings::of(Promise::StockAgrees);
    let stocks: BTreeMap<Uuid, Stock> = facts.orders().map(|order| (order.id, Stock::of(order))).collect();
    reservations_follow_orders(facts, &stocks, &mut findings);
    products_follow_the_ledger(facts, &mut findings);
    the_ledger_follows_orders(facts, &stocks, &mut findings);
    findings
}

fn reservations_follow_orders(facts: &Facts, stocks: &BTreeMap<Uuid, Stock>, findings: &mut Findings) {
    let states: BTreeMap<Uuid, &str> =
        facts.reservations.iter().map(|row| (row.order_id, row.state.as_str())).collect();
    for (id, stock) in stocks {
        let state = states.get(id);
        let agrees = state.map_or(*stock == Stock::Untouched, |state| stock.states().contains(state));
        findings.unless(agrees, || {
            format!("the stock of order {id} should be {stock:?}, its reservation is {state:?}")
        });
    }
    for (id, state) in states {
        let free = Stock::Untouched.states().contains(&state);
        findings.unless(stocks.contains_key(&id) || free, || {
            format!("a reservation is {state} for {id}, and there is no such order")
        });
    }
}

/// The sums of the ledger are the product's stock, and no step of it went out of bounds.
fn products_follow_the_ledger(facts: &Facts, findings: &mut Findings) {
    let mut ledgers: BTreeMap<&str, Vec<&MovementRow>> = BTreeMap::new();
    for movement in &facts.movements {
        ledgers.entry(&movement.product_id).or_default().push(movement);
    }
    for product in &facts.products {
        let mut movements = ledgers.remove(product.id.as_str()).unwrap_or_default();
        movements.sort_by_key(|movement| movement.id);
        let (mut on_hand, mut reserved) = (0, 0);
        for movement in movements {
            on_hand += movement.on_hand_delta;
            reserved += movement.reserved_delta;
            findings.unless((on_hand, reserved) == (movement.on_hand_after, movement.reserved_after), || {
                format!(
                    "movement {} of {} leads to ({on_hand}, {reserved}) and says ({}, {})",
                    movement.id, product.id, movement.on_hand_after, movement.reserved_after
                )
            });
            findings.unless((0..=on_hand).contains(&reserved), || {
                format!("{} was oversold at movement {}: {reserved} of {on_hand}", product.id, movement.id)
            });
        }
        findings.unless((on_hand, reserved) == (product.on_hand, product.reserved), || {
            format!(
                "{} has on hand and reserved ({}, {}), its ledger adds up to ({on_hand}, {reserved})",
                product.id, product.on_hand, product.reserved
            )
        });
    }
    for product in ledgers.keys() {
        findings.add(format!("the ledger moves {product}, which is no product"));
    }
}

/// Each order moved exactly what its lines and its status call for.
fn the_ledger_follows_orders(facts: &Facts, stocks: &BTreeMap<Uuid, Stock>, findings: &mut Findings) {
    let mut moved: BTreeMap<(Uuid, &str), (i64, i64)> = BTreeMap::new();
    let mut kinds: BTreeMap<(Uuid, &str), (i64, i64)> = BTreeMap::new();
    for movement in &facts.movements {
        let Some(order_id) = movement.order_id else { continue };
        let key = (order_id, movement.product_id.as_str());
        let sums = moved.entry(key).or_default();
        *sums = (sums.0 + movement.on_hand_delta, sums.1 + movement.reserved_delta);
        let counts = kinds.entry(key).or_default();
        match movement.kind.as_str() {
            "reserve" => counts.0 += 1,
            "release" => counts.0 -= 1,
            "deduct" => *counts = (counts.0 - 1, counts.1 + 1),
            kind => findings.add(format!("order {order_id} has a movement of kind {kind}")),
        }
    }
    let mut expected: BTreeMap<(Uuid, &str), (i64, i64)> = BTreeMap::new();
    for line in &facts.lines {
        let quantity = line.quantity;
        let moves = match stocks.get(&line.order_id) {
            Some(Stock::Held) => (0, quantity),
            Some(Stock::Deducted) => (-quantity, 0),
            Some(Stock::Untouched) | None => continue,
        };
        expected.insert((line.order_id, &line.product_id), moves);
    }
    for (key, moves) in &expected {
        let found = moved.get(key).copied().unwrap_or_default();
        findings.unless(found == *moves, || {
            format!("order {} calls for {moves:?} of {} and moved {found:?}", key.0, key.1)
        });
        let counts = kinds.get(key).copied().unwrap_or_default();
        let once = if moves.0 == 0 { (1, 0) } else { (0, 1) };
        findings.unless(counts == once, || {
            format!("order {} moved {} more often than once: (held, deducted) {counts:?}", key.0, key.1)
        });
    }
    for (key, moves) in moved.iter().filter(|(key, _)| !expected.contains_key(key)) {
        findings.unless(*moves == (0, 0), || {
            format!("{} moved {moves:?} of {}, and no order calls for it", key.0, key.1)
        });
    }
}
