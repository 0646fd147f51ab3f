//! Gathers what a run left once everything has come to rest, for the audit's judge.

use std::collections::BTreeSet;

use bus::topology::WorkQueue;
use schema::ids::OrderId;
use waybill::audit::{ClientOutcome, Facts, Ledger, PlacementRecord, RecordedEvents, Violation, check};

use crate::simulation::Simulation;
use crate::tables::{Tables, Whose};
use crate::template::STOCK;

/// Everything that is wrong.
pub(crate) async fn violations(simulation: &Simulation) -> Vec<Violation> {
    let tables = tables(simulation);
    tables.check_rows_by_product().await.unwrap();
    let stored = tables.facts().await.unwrap();
    let received = STOCK.iter().map(|(product, on_hand)| (product.parse().unwrap(), *on_hand)).collect();
    let topology = simulation.topology();
    let ready = |queue: String| (simulation.ready(&queue), queue);
    let dead = WorkQueue::ALL.map(|queue| ready(topology.dead(queue)));
    let dead_letters =
        dead.iter().flat_map(|(count, queue)| (0..*count).map(move |at| format!("{queue} {at}")));
    let work = WorkQueue::ALL.map(|queue| ready(topology.work(queue)));
    let events = simulation.recorded.iter().map(|event| (event.order_id, event.version, event.position));
    check(&Facts {
        ledger: stored.ledger.map(|ledger| Ledger { received: Some(received), ..ledger }),
        recorded_events: Some(RecordedEvents { in_order: true, events: events.collect() }),
        placements: simulation.client.accepted.iter().map(placement).collect(),
        answered_versions: simulation.client.answered.clone(),
        queues: work.into_iter().map(|(count, queue)| (queue, count as u64)).collect(),
        dead_letters: dead_letters.collect(),
        ..stored
    })
}

fn placement((order_id, fingerprints): (&OrderId, &BTreeSet<String>)) -> PlacementRecord {
    PlacementRecord {
        order_id: *order_id,
        outcome: ClientOutcome::Ok,
        was_unknown: false,
        answered: vec![*order_id],
        fingerprints: fingerprints.clone(),
    }
}

/// All that the databases hold, to compare two runs.
pub(crate) async fn digest(simulation: &Simulation) -> String {
    let tables = tables(simulation);
    let mut digest = Vec::new();
    for (whose, sql) in [
        (
            Whose::Orders,
            "SELECT hex(id) || status || version || attempt || updated_at FROM orders ORDER BY id",
        ),
        (
            Whose::Orders,
            "SELECT position || hex(id) || kind || status || occurred_at FROM order_events ORDER BY position",
        ),
        (
            Whose::Inventory,
            "SELECT id || kind || product_id || on_hand_delta || ' ' || reserved_delta FROM stock_movements ORDER BY id",
        ),
    ] {
        digest.extend(tables.texts(whose, sql).await.unwrap());
    }
    digest.join("\n")
}

fn tables(simulation: &Simulation) -> Tables {
    Tables::Sqlite(simulation.folder().to_owned())
}
