//! I1 to I3: what clients were told of each order is what there is.

use std::collections::{BTreeMap, BTreeSet};

use schema::ids::{CustomerId, OrderId};
use uuid::Uuid;

use super::facts::OrderRow;
use super::{Facts, Findings, Promise};
use crate::load::{Entry, Verdict};

/// I1.
pub(super) fn every_ok_has_one_order(facts: &Facts) -> Findings {
    let mut findings = Findings::of(Promise::EveryOkHasOneOrder);
    let by_key = by_key(facts);
    for entry in facts.entries.iter().filter(|entry| entry.verdict() == Verdict::Ok) {
        has_one_order(entry, &by_key, &mut findings);
    }
    let asked: BTreeSet<_> = facts.entries.iter().map(key).collect();
    for (key, orders) in &by_key {
        findings.unless(asked.contains(key), || {
            format!("nobody asked for order {}, key {}", orders[0].id, key.1)
        });
    }
    for order in facts.orders().filter(|order| order.idempotency_key.is_none()) {
        findings.add(format!("nobody asked for order {}, which has no key", order.id));
    }
    findings
}

/// I2.
pub(super) fn errors_leave_nothing(facts: &Facts) -> Findings {
    let mut findings = Findings::of(Promise::ErrorsLeaveNothing);
    let by_key = by_key(facts);
    let reserved: BTreeSet<Uuid> = facts.reservations.iter().map(|row| row.order_id).collect();
    for entry in facts.entries.iter().filter(|entry| entry.verdict() == Verdict::DefiniteError) {
        if let Some(orders) = by_key.get(&key(entry)) {
            findings.add(format!(
                "key {} was answered {:?} and still has order {}",
                entry.idempotency_key,
                details(entry),
                orders[0].id
            ));
        }
        let id = order_id(entry);
        findings.unless(!reserved.contains(&id), || {
            format!(
                "key {} was answered {:?} and still has a reservation, of order {id}",
                entry.idempotency_key,
                details(entry)
            )
        });
    }
    findings
}

/// I3.
pub(super) fn unknowns_are_resolved(facts: &Facts) -> Findings {
    let mut findings = Findings::of(Promise::UnknownsAreResolved);
    let by_key = by_key(facts);
    for entry in facts.entries.iter().filter(|entry| entry.was_unknown()) {
        match entry.verdict() {
            Verdict::Ok => has_one_order(entry, &by_key, &mut findings),
            _ => findings.add(format!(
                "key {} was never resolved: {} attempts, {:?}",
                entry.idempotency_key,
                entry.attempts.len(),
                details(entry)
            )),
        }
    }
    findings
}

/// Once at rest, the API shows the orders of the tables, and only those.
pub(super) fn the_api_agrees(facts: &Facts) -> Findings {
    let mut findings = Findings::of(Promise::ComesToRest);
    let Some(listed) = &facts.listed else { return findings };
    let mut stored = BTreeMap::new();
    for order in facts.orders().filter(|order| !order.is_deleted()) {
        stored.insert(order.id, (order.status.clone(), order.version));
    }
    for (id, order) in &stored {
        findings.unless(listed.get(id) == Some(order), || {
            format!("order {id} is {order:?} in the table and {:?} in the API", listed.get(id))
        });
    }
    for id in listed.keys().filter(|id| !stored.contains_key(id)) {
        findings.add(format!("the API lists order {id}, which is not in the table"));
    }
    findings
}

type Key = (String, String);

fn key(entry: &Entry) -> Key {
    (entry.customer_id.clone(), entry.idempotency_key.clone())
}

/// The order that a client's key names, by the rule of the wire contract.
fn order_id(entry: &Entry) -> Uuid {
    let customer: CustomerId = entry.customer_id.parse().expect("a customer's id is one");
    OrderId::for_idempotency_key(&customer, &entry.idempotency_key).0
}

fn by_key(facts: &Facts) -> BTreeMap<Key, Vec<&OrderRow>> {
    let mut by_key: BTreeMap<Key, Vec<&OrderRow>> = BTreeMap::new();
    for order in facts.orders() {
        if let Some(key) = &order.idempotency_key {
            by_key.entry((order.customer_id.clone(), key.clone())).or_default().push(order);
        }
    }
    by_key
}

fn has_one_order(entry: &Entry, by_key: &BTreeMap<Key, Vec<&OrderRow>>, findings: &mut Findings) {
    let stored: Vec<Uuid> = by_key.get(&key(entry)).into_iter().flatten().map(|order| order.id).collect();
    let answered = entry.order_ids();
    findings.unless(stored.len() == 1 && stored == answered, || {
        format!(
            "key {} was answered with orders {answered:?}, and there are {stored:?}",
            entry.idempotency_key
        )
    });
}

fn details(entry: &Entry) -> Vec<&str> {
    entry.attempts.iter().filter_map(|attempt| attempt.detail.as_deref()).collect()
}
