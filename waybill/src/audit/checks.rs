//! The judge: a pure function from facts to what they break.

use std::collections::{BTreeMap, BTreeSet};

use order_service::domain::{Transition, transition};
use schema::ids::OrderId;
use schema::order::OrderStatus;
use schema::order_events::EventKind;

use super::facts::{
    ChangeEffect, ClientOutcome, EventFacts, Facts, OrderFacts, OrderVersion, PlacementRecord,
    SubscriberRecord,
};
use super::report::Invariant::{self, I1, I2, I3, I5, I6, I7, I8, Rest};
use super::report::Violation;
use super::stock;

/// Every invariant that the facts break.
pub fn check(facts: &Facts) -> Vec<Violation> {
    let mut judge = Judge::new(facts);
    judge.check_orders();
    judge.check_placements();
    judge.check_histories();
    judge.check_changes();
    judge.found.extend(stock::violations(facts));
    judge.check_publication();
    for subscriber in &facts.subscribers {
        judge.check_subscriber(subscriber);
    }
    judge.check_rest();
    judge.found
}

/// The facts by order, and what was found so far.
struct Judge<'a> {
    facts: &'a Facts,
    orders: BTreeMap<OrderId, &'a OrderFacts>,
    /// Orders by the id that their key names; by their own without a key.
    named: BTreeMap<OrderId, Vec<&'a OrderFacts>>,
    /// Events by order, sorted by version.
    histories: BTreeMap<OrderId, Vec<&'a EventFacts>>,
    found: Vec<Violation>,
}

impl<'a> Judge<'a> {
    fn new(facts: &'a Facts) -> Self {
        let mut judge = Self {
            facts,
            orders: BTreeMap::new(),
            named: BTreeMap::new(),
            histories: BTreeMap::new(),
            found: Vec::new(),
        };
        for order in &facts.orders {
            judge.named.entry(named_id(order)).or_default().push(order);
            if judge.orders.insert(order.order_id, order).is_some() {
                judge.of_order(I1, order.order_id, "it exists twice");
            }
        }
        for event in &facts.events {
            judge.histories.entry(event.order_id).or_default().push(event);
        }
        judge.histories.values_mut().for_each(|events| events.sort_by_key(|event| event.version));
        judge
    }

    fn of_order(&mut self, invariant: Invariant, order_id: OrderId, message: impl Into<String>) {
        self.found.push(Violation::of_order(invariant, order_id, message));
    }

    /// I1: each order has the id that its key names, since under another it could exist twice; and a client asked for it.
    fn check_orders(&mut self) {
        let placed: BTreeMap<OrderId, &PlacementRecord> =
            self.facts.placements.iter().map(|placement| (placement.order_id, placement)).collect();
        for order in &self.facts.orders {
            let named = named_id(order);
            if named != order.order_id {
                let key = order.idempotency_key.as_deref().unwrap_or_default();
                self.of_order(I1, order.order_id, format!("its key {key:?} names order {named}"));
            }
            let placement = placed.get(&order.order_id);
            if self.facts.complete && placement.is_none() {
                self.of_order(I1, order.order_id, "no client asked for it");
            }
            let fingerprints = placement.map(|placement| &placement.fingerprints);
            if let (Some(own), Some(accepted)) = (&order.fingerprint, fingerprints)
                && !accepted.is_empty()
                && !accepted.contains(own)
            {
                self.of_order(I1, order.order_id, "it is of an input that no client sent");
            }
        }
    }

    /// I1 to I3: the order of each placement is what its client was answered.
    fn check_placements(&mut self) {
        let facts = self.facts;
        for placement in &facts.placements {
            let id = placement.order_id;
            let mut orders = self.named.get(&id).cloned().unwrap_or_default();
            orders.extend(self.orders.get(&id).filter(|order| named_id(order) != id));
            match placement.outcome {
                ClientOutcome::Ok => {
                    let Some(fault) = success_fault(placement, &orders, facts.complete) else { continue };
                    self.of_order(I1, id, fault.clone());
                    if placement.was_unknown {
                        self.of_order(I3, id, fault);
                    }
                }
                ClientOutcome::Unknown if facts.complete => {
                    self.of_order(I3, id, "its client never resolved an unknown outcome");
                }
                ClientOutcome::Unknown if !self.orders.contains_key(&id) => {
                    let fault =
                        "its client has only unknown outcomes, and it does not exist: retry under its key";
                    self.of_order(I3, id, fault);
                }
                ClientOutcome::Unknown => {}
                ClientOutcome::Error => {
                    let Some(OrderFacts { status, .. }) = orders.first() else { continue };
                    let fault = format!("a client was answered a definite error, but it exists, {status}");
                    self.of_order(I2, id, fault);
                }
            }
        }
    }

    /// I5: each order's events are a legal path, and hold each version that a client was answered.
    fn check_histories(&mut self) {
        let facts = self.facts;
        for order in &facts.orders {
            let history = self.histories.get(&order.order_id).map_or(&[][..], Vec::as_slice);
            if let Some(fault) = history_fault(order, history) {
                self.of_order(I5, order.order_id, fault);
            }
        }
        let strays: Vec<OrderId> =
            self.histories.keys().filter(|id| !self.orders.contains_key(id)).copied().collect();
        for id in strays {
            self.of_order(I5, id, "it has events and does not exist");
        }
        for &OrderVersion { order_id, version, status } in &facts.answered_versions {
            let history = self.histories.get(&order_id).map_or(&[][..], Vec::as_slice);
            let stored = history.iter().find(|event| event.version == version);
            if stored.is_none_or(|event| event.status != status) {
                let stored = stored.map_or("missing", |event| event.status.as_str());
                let fault = format!(
                    "a client was answered {status} for version {version}, which is {stored} in its history"
                );
                self.of_order(I5, order_id, fault);
            }
        }
    }

    /// I5 and I2: of each kind of change that clients asked for, an order's history holds at least as many as were answered
    /// as done, and no more than those and the unknown ones.
    fn check_changes(&mut self) {
        #[derive(Default)]
        struct Count {
            done: usize,
            unknown: usize,
            stored: usize,
        }
        let mut counts: BTreeMap<(OrderId, ChangeEffect), Count> = BTreeMap::new();
        for change in &self.facts.changes {
            let count = counts.entry((change.order_id, change.effect)).or_default();
            match change.outcome {
                ClientOutcome::Ok => count.done += 1,
                ClientOutcome::Unknown => count.unknown += 1,
                ClientOutcome::Error => {}
            }
        }
        let changed: BTreeSet<OrderId> = self.facts.changes.iter().map(|change| change.order_id).collect();
        for event in &self.facts.events {
            if let Some(effect) = effect_of(event).filter(|_| changed.contains(&event.order_id)) {
                counts.entry((event.order_id, effect)).or_default().stored += 1;
            }
        }
        for ((id, effect), Count { done, unknown, stored }) in counts {
            let fault = format!(
                "{effect:?} is {stored} times in its history, {done} were answered as done, {unknown} are unknown"
            );
            if stored < done {
                self.of_order(I5, id, fault);
            } else if stored > done + unknown {
                self.of_order(I2, id, fault);
            }
        }
    }

    /// I6: positions run from 1 without gaps, each event is published, and the broker delivered it under its position.
    fn check_publication(&mut self) {
        let facts = self.facts;
        if facts.unpublished > 0 {
            self.found.push(Violation::new(I6, format!("{} events are not published", facts.unpublished)));
        }
        let recorded = facts.recorded_events.as_ref();
        let positions: Option<BTreeMap<_, _>> = recorded.map(|recorded| {
            recorded.events.iter().map(|&(id, version, position)| ((id, version), position)).collect()
        });
        let observed = || facts.events.iter().filter(|event| event.published.is_some());
        for &EventFacts { order_id, version, position, published, .. } in observed() {
            if published != Some(true) || position.is_none() {
                let fault = format!("version {version} is not published, its position is {position:?}");
                self.of_order(I6, order_id, fault);
            }
            let found = positions.as_ref().map(|positions| positions.get(&(order_id, version)).copied());
            if let Some(found) = found.filter(|found| *found != position) {
                let fault = format!(
                    "version {version} was delivered under position {found:?} instead of {position:?}"
                );
                self.of_order(I6, order_id, fault);
            }
        }
        let mut positions: Vec<i64> = observed().filter_map(|event| event.position).collect();
        positions.sort_unstable();
        if let Some((found, expected)) = positions.iter().zip(1..).find(|(found, next)| *found != next) {
            self.found.push(Violation::new(I6, format!("there is position {found} in place of {expected}")));
        }
        if let Some(recorded) = recorded.filter(|recorded| recorded.in_order) {
            // What is published again after a crash may repeat; it may not skip.
            let mut last = 0;
            for (order_id, version, position) in &recorded.events {
                if *position > last + 1 {
                    let place = format!("version {version} at position {position}");
                    self.of_order(I6, *order_id, format!("{place} was delivered after {last}"));
                }
                last = last.max(*position);
            }
            if usize::try_from(last).ok() != Some(observed().count()) {
                let fault = format!("position {last} is the last delivered of {} events", observed().count());
                self.found.push(Violation::new(I6, fault));
            }
        }
    }

    /// I7: a subscriber received each later event in its scope once, by position, and no error that lasts.
    fn check_subscriber(&mut self, subscriber: &SubscriberRecord) {
        let name = &subscriber.name;
        let mut broken = |fault: String| self.found.push(Violation::new(I7, fault));
        for error in &subscriber.errors {
            broken(format!("{name} received an error: {error}"));
        }
        let mut events: Vec<&EventFacts> =
            self.facts.events.iter().filter(|event| event.position.is_some()).collect();
        events.sort_by_key(|event| event.position);
        let (order_id, version) = subscriber.after;
        let is_begin =
            |event: &&EventFacts| event.order_id == order_id && (version == 0 || event.version == version);
        let Some(begin) = events.iter().position(is_begin) else {
            let begin = format!("version {version} of order {order_id}");
            return broken(format!("{name} began at {begin}, which has no event"));
        };
        let later = &events[begin + usize::from(version > 0)..];
        let expected: Vec<_> = later
            .iter()
            .filter(|event| subscriber.scope.includes(&event.customer_id))
            .map(|&&EventFacts { order_id, version, status, .. }| OrderVersion { order_id, version, status })
            .collect();
        let received = &subscriber.received;
        if expected != *received {
            let agreed = expected.iter().zip(received).take_while(|(left, right)| left == right).count();
            broken(format!(
                "{name} received {} updates of {}; the first {agreed} are right, then comes {:?} instead of {:?}",
                received.len(),
                expected.len(),
                received.get(agreed),
                expected.get(agreed),
            ));
        }
    }

    /// I8, and that the system is at rest: every order is decided, every queue is empty, the API lists what is stored.
    fn check_rest(&mut self) {
        let facts = self.facts;
        let (mut found, mut expected) = (facts.dead_letters.clone(), facts.poison.clone());
        found.sort();
        expected.sort();
        if found != expected {
            self.found
                .push(Violation::new(I8, format!("dead letters are {found:?}, poison was {expected:?}")));
        }
        for (queue, messages) in facts.queues.iter().filter(|(_, messages)| *messages > 0) {
            self.found.push(Violation::new(Rest, format!("queue {queue} holds {messages} messages")));
        }
        let existing = || facts.orders.iter().filter(|order| !order.deleted);
        for order in existing().filter(|order| facts.complete && order.status == OrderStatus::Pending) {
            self.of_order(Rest, order.order_id, "it is still PENDING");
        }
        let Some(listed) = &facts.listed else { return };
        let stored: BTreeMap<_, _> =
            existing().map(|order| (order.order_id, (order.status, order.version))).collect();
        let ids: BTreeSet<OrderId> = stored.keys().chain(listed.keys()).copied().collect();
        for id in ids.into_iter().filter(|id| stored.get(id) != listed.get(id)) {
            let fault = format!("it is stored as {:?}, and listed as {:?}", stored.get(&id), listed.get(&id));
            self.of_order(Rest, id, fault);
        }
    }
}

/// The id that the order's key names; its own without a key.
fn named_id(order: &OrderFacts) -> OrderId {
    let key = order.idempotency_key.as_deref();
    key.map_or(order.order_id, |key| OrderId::for_idempotency_key(&order.customer_id, key))
}

/// What is wrong with the orders that are stored for a placement that was answered as done.
fn success_fault(placement: &PlacementRecord, orders: &[&OrderFacts], complete: bool) -> Option<String> {
    let id = placement.order_id;
    let stored: Vec<OrderId> = orders.iter().map(|order| order.order_id).collect();
    if stored.is_empty() {
        return Some("a client was answered that it is placed, but it does not exist".to_owned());
    }
    if stored != [id] {
        return Some(format!("a client was answered that it is placed, but its key has orders {stored:?}"));
    }
    let other = placement.answered.iter().find(|answered| **answered != id);
    if let Some(other) = other {
        return Some(format!("a client was answered {other} under the key that names this order"));
    }
    (complete && placement.answered.is_empty())
        .then(|| "a client was answered success without an order".to_owned())
}

/// What is wrong with an order's history; the first thing only, since the rest may follow from it.
fn history_fault(order: &OrderFacts, history: &[&EventFacts]) -> Option<String> {
    let (Some(first), Some(last)) = (history.first(), history.last()) else {
        return Some("it has no history".to_owned());
    };
    if first.kind != EventKind::Created {
        return Some(format!("its history begins with {:?}", first.kind));
    }
    // An order is decided as it is stored, or stored PENDING.
    let may_begin =
        matches!(first.status, OrderStatus::Pending | OrderStatus::Processing | OrderStatus::Rejected);
    if !may_begin || first.previous_status.is_some() {
        return Some(format!("it was created {} from {:?}", first.status, first.previous_status));
    }
    let gap = (1..).zip(history).find(|(expected, event)| event.version != *expected);
    if let Some((expected, event)) = gap {
        return Some(format!("version {expected} is missing: version {} is in its place", event.version));
    }
    let illegal = history.windows(2).find_map(|pair| {
        let fault = step_fault(pair[0], pair[1])?;
        Some(format!("version {} is no legal step: {fault}", pair[1].version))
    });
    if illegal.is_some() {
        return illegal;
    }
    if (order.status, order.version) != (last.status, last.version) {
        return Some(format!(
            "it is {} in version {}, but its history ends {} in version {}",
            order.status, order.version, last.status, last.version
        ));
    }
    match (order.deleted, last.kind == EventKind::Deleted) {
        (true, false) => Some("it is deleted, but its history does not say so".to_owned()),
        (false, true) => Some("its history says that it is deleted, but it is not".to_owned()),
        _ => None,
    }
}

fn step_fault(before: &EventFacts, event: &EventFacts) -> Option<String> {
    let is_out_of_order = match (before.position, event.position) {
        (Some(before), Some(position)) => before >= position,
        (before, position) => before.is_none() && position.is_some(),
    };
    if is_out_of_order {
        return Some(format!("position {:?} after {:?}", event.position, before.position));
    }
    let (kind, from, to) = (event.kind, before.status, event.status);
    match kind {
        _ if before.kind == EventKind::Deleted => Some(format!("{kind:?} after its deletion")),
        EventKind::Created => Some("created again".to_owned()),
        EventKind::StatusChanged if transition(from, to) != Transition::Applied => {
            Some(format!("from {from} to {to}"))
        }
        EventKind::StatusChanged if event.previous_status != Some(from) => {
            let recorded = event.previous_status.map_or("nothing", OrderStatus::as_str);
            Some(format!("from {from} to {to}, but recorded as from {recorded}"))
        }
        EventKind::DetailsChanged | EventKind::Deleted if from != to => {
            Some(format!("{kind:?} from {from} to {to}"))
        }
        EventKind::Deleted if to == OrderStatus::Shipped => Some("deleted while SHIPPED".to_owned()),
        EventKind::StatusChanged | EventKind::DetailsChanged | EventKind::Deleted => None,
    }
}

fn effect_of(event: &EventFacts) -> Option<ChangeEffect> {
    match (event.kind, event.status) {
        (EventKind::StatusChanged, OrderStatus::Cancelled) => Some(ChangeEffect::Cancelled),
        (EventKind::StatusChanged, OrderStatus::Shipped) => Some(ChangeEffect::Shipped),
        (EventKind::StatusChanged, OrderStatus::Delivered) => Some(ChangeEffect::Delivered),
        (EventKind::DetailsChanged, _) => Some(ChangeEffect::DetailsChanged),
        (EventKind::Deleted, _) => Some(ChangeEffect::Deleted),
        (EventKind::Created | EventKind::StatusChanged, _) => None,
    }
}
