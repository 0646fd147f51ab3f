//! The judge is tested: it finds nothing in the facts of a clean run, and each corruption of them.

use std::path::Path;
use std::time::Duration;

use schema::ids::OrderId;
use schema::order::OrderStatus;
use schema::order_events::EventKind;
use schema::order_messages::OrderScope;
use uuid::Uuid;
use waybill::audit::{
    ChangeEffect, ChangeRecord, ClientOutcome, EventFacts, Facts, Invariant, PlacementRecord, RecordedEvents,
    check,
};

use crate::checker::facts_at_rest;
use crate::cluster::{Cluster, Shape, Tables, Whose};
use crate::load::{Load, WorkloadConfig};

/// What is done to the tables of a clean run, and the invariant that must then be found broken.
const CORRUPTED_TABLES: [(&str, Whose, &str, Invariant); 13] = [
    (
        "an accepted order is lost",
        Whose::Orders,
        "DELETE FROM orders WHERE id = (SELECT id FROM orders WHERE idempotency_key IS NOT NULL LIMIT 1)",
        Invariant::I1,
    ),
    (
        "a key has two orders",
        Whose::Orders,
        "CREATE TEMP TABLE twin AS SELECT * FROM orders LIMIT 1; UPDATE twin SET id = randomblob(16); \
         INSERT INTO orders SELECT * FROM twin",
        Invariant::I1,
    ),
    (
        "stock comes from nowhere",
        Whose::Inventory,
        "UPDATE products SET on_hand = on_hand + 1 WHERE id = 'FAULT1'",
        Invariant::I4,
    ),
    (
        "a movement is made twice",
        Whose::Inventory,
        "INSERT INTO stock_movements (product_id, kind, order_id, on_hand_delta, reserved_delta, on_hand_after, \
         reserved_after, created_at) SELECT product_id, kind, order_id, on_hand_delta, reserved_delta, on_hand_after, \
         reserved_after, created_at FROM stock_movements WHERE kind = 'reserve' LIMIT 1",
        Invariant::I4,
    ),
    (
        "a movement and the stock it made are made twice",
        Whose::Inventory,
        "INSERT INTO stock_movements (product_id, kind, order_id, on_hand_delta, reserved_delta, on_hand_after, \
         reserved_after, created_at) SELECT m.product_id, 'reserve', m.order_id, 0, 1, p.on_hand, p.reserved + 1, \
         m.created_at FROM stock_movements m JOIN products p ON p.id = m.product_id WHERE kind = 'reserve' \
         AND product_id = 'FAULT1' LIMIT 1; UPDATE products SET reserved = reserved + 1 WHERE id = 'FAULT1'",
        Invariant::I4,
    ),
    (
        "a hold is leaked",
        Whose::Inventory,
        "INSERT INTO reservations (order_id, state, fingerprint, attempt, version, confirmed, created_at, heard_at, \
         ask_at) SELECT randomblob(16), 'held', 'b3', 1, 0, 0, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP",
        Invariant::I4,
    ),
    (
        "an order's stock is released though it is to be sent",
        Whose::Inventory,
        "UPDATE reservations SET state = 'released', ask_at = NULL WHERE order_id = \
         (SELECT order_id FROM reservations WHERE state = 'held' LIMIT 1)",
        Invariant::I4,
    ),
    (
        "more is sold than there is",
        Whose::Inventory,
        "PRAGMA ignore_check_constraints = ON; UPDATE stock_movements SET reserved_after = on_hand_after + 1, \
         reserved_delta = on_hand_after + 1 WHERE id = (SELECT max(id) FROM stock_movements WHERE kind = 'reserve')",
        Invariant::I4,
    ),
    (
        "a history has a gap",
        Whose::Orders,
        "DELETE FROM order_events WHERE seq = (SELECT min(seq) FROM order_events)",
        Invariant::I5,
    ),
    (
        "an order takes an illegal step",
        Whose::Orders,
        "UPDATE order_events SET status = 'DELIVERED' WHERE version = 1 AND seq = (SELECT max(seq) FROM order_events \
         WHERE version = 1)",
        Invariant::I5,
    ),
    (
        "an answered change is gone",
        Whose::Orders,
        "DELETE FROM order_events WHERE seq = (SELECT max(seq) FROM order_events WHERE status = 'CANCELLED'); \
         UPDATE orders SET version = 1, status = 'PROCESSING' WHERE status = 'CANCELLED' AND id NOT IN \
         (SELECT order_id FROM order_events WHERE status = 'CANCELLED')",
        Invariant::I5,
    ),
    (
        "an event was never published",
        Whose::Orders,
        "UPDATE order_events SET published_at = NULL WHERE seq = (SELECT max(seq) FROM order_events)",
        Invariant::I6,
    ),
    (
        "the positions have a hole",
        Whose::Orders,
        "UPDATE order_events SET position = position + 1 WHERE position = (SELECT max(position) FROM order_events)",
        Invariant::I6,
    ),
];

/// What is done to the records of clients, subscribers and the broker.
type Corruption = fn(&mut Facts);
const CORRUPTED_RECORDS: [(&str, Corruption, Invariant); 15] = [
    ("an accepted order has another id", another_id, Invariant::I1),
    ("no client asked for an order", |facts| drop(facts.placements.pop()), Invariant::I1),
    ("an error left an order", an_error_instead, Invariant::I2),
    ("a refused change was made", a_refused_change, Invariant::I2),
    ("an answered deletion was not made", a_deletion_undone, Invariant::I5),
    ("an unknown outcome stayed unknown", unknown_instead, Invariant::I3),
    ("an event was not delivered", undelivered, Invariant::I6),
    ("an update was missed", missed, Invariant::I7),
    ("the last update was missed", last_missed, Invariant::I7),
    ("an update was missed by the warehouse", missed_by_warehouse, Invariant::I7),
    ("an update came twice", received_twice, Invariant::I7),
    ("two updates changed places", |facts| facts.subscribers[2].received.swap(0, 1), Invariant::I7),
    ("a dead letter was no poison", |facts| facts.dead_letters.push("order".into()), Invariant::I8),
    ("poison vanished", |facts| facts.poison.push("poison".into()), Invariant::I8),
    ("the API shows another status", another_status, Invariant::Rest),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_corruption_of_a_clean_run_is_found() {
    let cluster = Cluster::embedded("checked", Shape::default()).await.unwrap();
    let load = Load::start(&cluster, 4, WorkloadConfig::default()).await.unwrap();
    load.progress().reaches(60, Duration::from_secs(60)).await.unwrap();
    let clean = facts_at_rest(&cluster, load, Vec::new()).await;
    cluster.programs[0].terminate().await.unwrap();
    assert_eq!(check(&clean), []);

    let mut missed = Vec::new();
    for (name, whose, sql, invariant) in CORRUPTED_TABLES {
        let copy = tempfile::tempdir().unwrap();
        copy_files(cluster.folder(), copy.path());
        let tables = Tables::Sqlite(copy.path().to_owned());
        tables.run(whose, sql).await.unwrap();
        let Facts { orders, events, reservations, ledger, .. } = tables.facts().await.unwrap();
        let facts = Facts { orders, events, reservations, ledger, ..clean.clone() };
        if !finds(&facts, invariant) {
            missed.push(name);
        }
    }
    for (name, corrupt, invariant) in CORRUPTED_RECORDS {
        let mut facts = clean.clone();
        corrupt(&mut facts);
        if !finds(&facts, invariant) {
            missed.push(name);
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

fn copy_files(from: &Path, to: &Path) {
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_file() {
            std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
}

fn finds(facts: &Facts, invariant: Invariant) -> bool {
    check(facts).iter().any(|violation| violation.invariant == invariant)
}

fn accepted(facts: &mut Facts) -> &mut PlacementRecord {
    facts.placements.iter_mut().find(|placement| placement.outcome == ClientOutcome::Ok).unwrap()
}

fn another_id(facts: &mut Facts) {
    accepted(facts).answered = vec![OrderId(Uuid::new_v4())];
}

fn an_error_instead(facts: &mut Facts) {
    let placement = accepted(facts);
    (placement.outcome, placement.answered) = (ClientOutcome::Error, Vec::new());
}

fn unknown_instead(facts: &mut Facts) {
    let placement = accepted(facts);
    (placement.outcome, placement.answered, placement.was_unknown) =
        (ClientOutcome::Unknown, Vec::new(), true);
}

fn a_refused_change(facts: &mut Facts) {
    let change = facts.changes.iter_mut().find(|change| change.outcome == ClientOutcome::Ok).unwrap();
    change.outcome = ClientOutcome::Error;
}

fn a_deletion_undone(facts: &mut Facts) {
    let order_id = accepted(facts).order_id;
    facts.events.retain(|event| event.order_id != order_id || event.kind != EventKind::Deleted);
    let (effect, outcome) = (ChangeEffect::Deleted, ClientOutcome::Ok);
    facts.changes.push(ChangeRecord { order_id, effect, outcome });
}

fn undelivered(facts: &mut Facts) {
    let delivered = |event: &EventFacts| Some((event.order_id, event.version, event.position?));
    let events = facts.events.iter().skip(1).filter_map(delivered).collect();
    facts.recorded_events = Some(RecordedEvents { in_order: false, events });
}

fn missed(facts: &mut Facts) {
    facts.subscribers[0].received.remove(1);
}

fn missed_by_warehouse(facts: &mut Facts) {
    let warehouse = facts.subscribers.iter_mut().find(|subscriber| subscriber.scope == OrderScope::Any);
    warehouse.unwrap().received.remove(1);
}

fn last_missed(facts: &mut Facts) {
    facts.subscribers[1].received.pop();
}

fn received_twice(facts: &mut Facts) {
    let received = &mut facts.subscribers[0].received;
    received.push(received[0]);
}

fn another_status(facts: &mut Facts) {
    let mut orders = facts.listed.iter_mut().flat_map(|listed| listed.values_mut());
    orders.next().unwrap().0 = OrderStatus::Pending;
}
