//! The checker is checked: a clean run is found clean, and whatever is corrupted in what it left is found.

use std::path::Path;
use std::time::Duration;

use uuid::Uuid;

use crate::checker::{EventRow, Facts, Promise, facts_at_rest, judge};
use crate::cluster::{Cluster, Shape, Tables, Whose};
use crate::load::{Attempt, Change, Load, Verdict, WorkloadConfig};

/// What is done to the tables of a clean run, and the promise that must then be found broken.
const CORRUPTED_TABLES: [(&str, Whose, &str, Promise); 13] = [
    (
        "an accepted order is lost",
        Whose::Orders,
        "DELETE FROM orders WHERE id = (SELECT id FROM orders WHERE idempotency_key IS NOT NULL LIMIT 1)",
        Promise::EveryOkHasOneOrder,
    ),
    (
        "a key has two orders",
        Whose::Orders,
        "CREATE TEMP TABLE twin AS SELECT * FROM orders LIMIT 1; UPDATE twin SET id = randomblob(16); \
         INSERT INTO orders SELECT * FROM twin",
        Promise::EveryOkHasOneOrder,
    ),
    (
        "stock comes from nowhere",
        Whose::Inventory,
        "UPDATE products SET on_hand = on_hand + 1 WHERE id = 'FAULT1'",
        Promise::StockAgrees,
    ),
    (
        "a movement is made twice",
        Whose::Inventory,
        "INSERT INTO stock_movements (product_id, kind, order_id, on_hand_delta, reserved_delta, on_hand_after, \
         reserved_after, created_at) SELECT product_id, kind, order_id, on_hand_delta, reserved_delta, on_hand_after, \
         reserved_after, created_at FROM stock_movements WHERE kind = 'reserve' LIMIT 1",
        Promise::StockAgrees,
    ),
    (
        "a movement and the stock it made are made twice",
        Whose::Inventory,
        "INSERT INTO stock_movements (product_id, kind, order_id, on_hand_delta, reserved_delta, on_hand_after, \
         reserved_after, created_at) SELECT m.product_id, 'reserve', m.order_id, 0, 1, p.on_hand, p.reserved + 1, \
         m.created_at FROM stock_movements m JOIN products p ON p.id = m.product_id WHERE kind = 'reserve' \
         AND product_id = 'FAULT1' LIMIT 1; UPDATE products SET reserved = reserved + 1 WHERE id = 'FAULT1'",
        Promise::StockAgrees,
    ),
    (
        "a hold is leaked",
        Whose::Inventory,
        "INSERT INTO reservations (order_id, state, fingerprint, attempt, version, confirmed, created_at, heard_at, \
         ask_at) SELECT randomblob(16), 'held', 'b3', 1, 0, 0, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP",
        Promise::StockAgrees,
    ),
    (
        "an order's stock is released though it is to be sent",
        Whose::Inventory,
        "UPDATE reservations SET state = 'released', ask_at = NULL WHERE order_id = \
         (SELECT order_id FROM reservations WHERE state = 'held' LIMIT 1)",
        Promise::StockAgrees,
    ),
    (
        "more is sold than there is",
        Whose::Inventory,
        "PRAGMA ignore_check_constraints = ON; UPDATE stock_movements SET reserved_after = on_hand_after + 1, \
         reserved_delta = on_hand_after + 1 WHERE id = (SELECT max(id) FROM stock_movements WHERE kind = 'reserve')",
        Promise::StockAgrees,
    ),
    (
        "a history has a gap",
        Whose::Orders,
        "DELETE FROM order_events WHERE seq = (SELECT min(seq) FROM order_events)",
        Promise::HistoriesAreLegal,
    ),
    (
        "an order takes an illegal step",
        Whose::Orders,
        "UPDATE order_events SET status = 'DELIVERED' WHERE version = 1 AND seq = (SELECT max(seq) FROM order_events \
         WHERE version = 1)",
        Promise::HistoriesAreLegal,
    ),
    (
        "an answered change is gone",
        Whose::Orders,
        "DELETE FROM order_events WHERE seq = (SELECT max(seq) FROM order_events WHERE status = 'CANCELLED'); \
         UPDATE orders SET version = 1, status = 'PROCESSING' WHERE status = 'CANCELLED' AND id NOT IN \
         (SELECT order_id FROM order_events WHERE status = 'CANCELLED')",
        Promise::HistoriesAreLegal,
    ),
    (
        "an event was never published",
        Whose::Orders,
        "UPDATE order_events SET published_at = NULL WHERE seq = (SELECT max(seq) FROM order_events)",
        Promise::EventsAreTold,
    ),
    (
        "the positions have a hole",
        Whose::Orders,
        "UPDATE order_events SET position = position + 1 WHERE position = (SELECT max(position) FROM order_events)",
        Promise::EventsAreTold,
    ),
];

/// What is done to what clients, subscribers and the broker said.
type Corruption = fn(&mut Facts);
const CORRUPTED_RECORDS: [(&str, Corruption, Promise); 14] = [
    ("an accepted order has another id", another_id, Promise::EveryOkHasOneOrder),
    ("nobody asked for an order", |facts| drop(facts.entries.pop()), Promise::EveryOkHasOneOrder),
    ("an error left an order", an_error_instead, Promise::ErrorsLeaveNothing),
    ("a refused change was made", a_refused_change, Promise::ErrorsLeaveNothing),
    ("an answered deletion was not made", a_deletion_undone, Promise::HistoriesAreLegal),
    ("an unknown outcome stayed unknown", unknown_instead, Promise::UnknownsAreResolved),
    ("an event was not heard", unheard, Promise::EventsAreTold),
    ("an update was missed", |facts| drop(facts.subscribers[0].seen.remove(1)), Promise::SubscribersSawAll),
    ("the last update was missed", |facts| drop(facts.subscribers[1].seen.pop()), Promise::SubscribersSawAll),
    ("an update came twice", seen_twice, Promise::SubscribersSawAll),
    ("two updates changed places", |facts| facts.subscribers[2].seen.swap(0, 1), Promise::SubscribersSawAll),
    (
        "a dead letter was no poison",
        |facts| facts.dead_letters.push("order".into()),
        Promise::DeadLettersArePoison,
    ),
    ("poison vanished", |facts| facts.poison.push("poison".into()), Promise::DeadLettersArePoison),
    ("the API shows another status", another_status, Promise::ComesToRest),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_corruption_of_a_clean_run_is_found() {
    let cluster = Cluster::embedded("checked", Shape::default()).await.unwrap();
    let load = Load::start(&cluster, 4, WorkloadConfig::default()).await.unwrap();
    load.progress().reaches(60, Duration::from_secs(60)).await.unwrap();
    let clean = facts_at_rest(&cluster, load, Vec::new()).await;
    cluster.programs[0].terminate().await.unwrap();
    assert_eq!(judge(&clean), []);

    let mut missed = Vec::new();
    for (name, whose, sql, promise) in CORRUPTED_TABLES {
        let copy = tempfile::tempdir().unwrap();
        copy_files(cluster.folder(), copy.path());
        let tables = Tables::Sqlite(copy.path().to_owned());
        tables.run(whose, sql).await.unwrap();
        let mut facts = clean.clone();
        facts.take_tables(Facts::of_tables(&tables).await.unwrap());
        if !judge(&facts).iter().any(|violation| violation.promise == promise) {
            missed.push(name);
        }
    }
    for (name, corrupt, promise) in CORRUPTED_RECORDS {
        let mut facts = clean.clone();
        corrupt(&mut facts);
        if !judge(&facts).iter().any(|violation| violation.promise == promise) {
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

fn another_id(facts: &mut Facts) {
    let accepted = facts.entries.iter_mut().find(|entry| entry.verdict() == Verdict::Ok).unwrap();
    accepted.attempts.last_mut().unwrap().order_id = Some(Uuid::new_v4());
}

fn an_error_instead(facts: &mut Facts) {
    replace_attempts(facts, Verdict::DefiniteError);
}

fn unknown_instead(facts: &mut Facts) {
    replace_attempts(facts, Verdict::Unknown);
}

fn replace_attempts(facts: &mut Facts, outcome: Verdict) {
    let accepted = facts.entries.iter_mut().find(|entry| entry.verdict() == Verdict::Ok).unwrap();
    accepted.attempts = vec![Attempt { outcome, order_id: None, detail: None, elapsed_ms: 1 }];
}

fn a_refused_change(facts: &mut Facts) {
    let mut answers = facts.changes.iter_mut().map(|change| &mut change.answer);
    answers.find(|answer| answer.outcome == Verdict::Ok).unwrap().outcome = Verdict::DefiniteError;
}

fn a_deletion_undone(facts: &mut Facts) {
    let order_id = facts.entries.iter().find_map(|entry| entry.order_ids().first().copied()).unwrap();
    facts.events.retain(|event| event.order_id != order_id || event.kind != "DELETED");
    let answer = Attempt { outcome: Verdict::Ok, order_id: None, detail: None, elapsed_ms: 1 };
    facts.changes.push(Change { order_id, leaves: "DELETED", answer });
}

fn unheard(facts: &mut Facts) {
    let heard = |event: &EventRow| Some(((event.order_id, event.version), event.position?));
    facts.heard = Some(facts.events.iter().skip(1).filter_map(heard).collect());
}

fn seen_twice(facts: &mut Facts) {
    let seen = &mut facts.subscribers[0].seen;
    let again = seen[0].clone();
    seen.push(again);
}

fn another_status(facts: &mut Facts) {
    let mut orders = facts.listed.iter_mut().flat_map(|listed| listed.values_mut());
    orders.next().unwrap().0 = "PENDING".to_owned();
}
