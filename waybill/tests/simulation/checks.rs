//! What has to hold once everything has come to rest, read from the databases and the broker.

use sea_orm::{ConnectionTrait as _, QueryResult, Statement};
use std::collections::BTreeMap;
use store::Database;
use uuid::Uuid;

use bus::topology::WorkQueue;

use crate::simulation::Simulation;
use crate::template::STOCK;

struct OrderRow {
    id: Uuid,
    status: String,
    version: i64,
    fingerprint: String,
    deleted: bool,
}

async fn rows(database: &Database, sql: &str) -> Vec<QueryResult> {
    let statement = Statement::from_string(database.backend(), sql);
    database.read().query_all_raw(statement).await.unwrap()
}

/// Everything that is wrong.
pub(crate) async fn check(simulation: &Simulation) -> Vec<String> {
    let mut findings = Vec::new();
    let orders = orders(&simulation.orders_database).await;
    check_orders(simulation, &orders, &mut findings);
    check_histories(simulation, &orders, &mut findings).await;
    check_telling(simulation, &mut findings).await;
    check_stock(simulation, &mut findings).await;
    for queue in WorkQueue::ALL {
        let topology = simulation.topology();
        for name in [topology.work(queue), topology.dead(queue)] {
            let ready = simulation.ready(&name);
            if ready > 0 {
                findings.push(format!("{ready} messages are left in {name}"));
            }
        }
    }
    findings
}

/// All that the databases hold, for telling whether two runs were the same.
pub(crate) async fn digest(simulation: &Simulation) -> String {
    let mut digest = String::new();
    for (database, sql) in [
        (
            &simulation.orders_database,
            "SELECT hex(id) || status || version || attempt || updated_at AS line FROM orders ORDER BY id",
        ),
        (
            &simulation.orders_database,
            "SELECT position || hex(id) || kind || status || occurred_at AS line FROM order_events ORDER BY position",
        ),
        (
            &simulation.inventory_database,
            "SELECT id || kind || product_id || on_hand_delta || ' ' || reserved_delta AS line FROM stock_movements ORDER BY id",
        ),
    ] {
        for row in rows(database, sql).await {
            digest.push_str(&row.try_get::<String>("", "line").unwrap());
            digest.push('\n');
        }
    }
    digest
}

async fn orders(database: &Database) -> Vec<OrderRow> {
    let rows = rows(database, "SELECT id, status, version, fingerprint, deleted_at IS NOT NULL AS deleted FROM orders WHERE NOT fenced").await;
    let order = |row: QueryResult| OrderRow {
        id: row.try_get("", "id").unwrap(),
        status: row.try_get("", "status").unwrap(),
        version: row.try_get("", "version").unwrap(),
        fingerprint: row.try_get("", "fingerprint").unwrap(),
        deleted: row.try_get("", "deleted").unwrap(),
    };
    rows.into_iter().map(order).collect()
}

/// Every accepted order is there, once, by an input that was accepted; no other is.
fn check_orders(simulation: &Simulation, orders: &[OrderRow], findings: &mut Vec<String>) {
    let stored: BTreeMap<Uuid, &OrderRow> = orders.iter().map(|order| (order.id, order)).collect();
    for (id, fingerprints) in &simulation.client.accepted {
        match stored.get(&id.0) {
            None => findings.push(format!("order {id} was accepted and is lost")),
            Some(order) if !fingerprints.contains(&order.fingerprint) => {
                findings.push(format!("order {id} is of an input that nobody gave"));
            }
            Some(order) if order.status == "PENDING" && !order.deleted => {
                findings.push(format!("order {id} is still PENDING"))
            }
            Some(_) => {}
        }
    }
    if stored.len() != simulation.client.accepted.len() {
        let (stored, accepted) = (stored.len(), simulation.client.accepted.len());
        findings.push(format!("{stored} orders are stored, {accepted} were accepted"));
    }
}

/// Each order's history has versions 1, 2, 3 ... on a legal path, and holds every version that somebody was told.
async fn check_histories(simulation: &Simulation, orders: &[OrderRow], findings: &mut Vec<String>) {
    let sql = "SELECT order_id, version, status, kind FROM order_events ORDER BY order_id, version";
    let mut histories: BTreeMap<Uuid, Vec<(i64, String, String)>> = BTreeMap::new();
    for row in rows(&simulation.orders_database, sql).await {
        let step = (
            row.try_get("", "version").unwrap(),
            row.try_get("", "status").unwrap(),
            row.try_get("", "kind").unwrap(),
        );
        histories.entry(row.try_get("", "order_id").unwrap()).or_default().push(step);
    }
    for order in orders {
        let history = histories.remove(&order.id).unwrap_or_default();
        let versions: Vec<i64> = history.iter().map(|(version, ..)| *version).collect();
        if versions != (1..=order.version).collect::<Vec<_>>() {
            findings
                .push(format!("order {} is at version {} with events {versions:?}", order.id, order.version));
        }
        for pair in history.windows(2) {
            if !is_legal(&pair[0].1, &pair[1].1, &pair[1].2) {
                findings.push(format!("order {} went {:?} to {:?}", order.id, pair[0], pair[1]));
            }
        }
        for (_, version, status) in simulation.client.told.iter().filter(|(id, ..)| id.0 == order.id) {
            let stored = history.iter().find(|(stored, ..)| *stored == i64::from(*version));
            if stored.is_none_or(|(_, stored, _)| stored != status.as_str()) {
                findings.push(format!("version {version} of order {} was told as {status}", order.id));
            }
        }
    }
    if !histories.is_empty() {
        findings.push(format!("events of {} orders that are not there", histories.len()));
    }
}

fn is_legal(from: &str, to: &str, kind: &str) -> bool {
    match kind {
        "DETAILS_CHANGED" => from == to,
        "DELETED" => from == to && from != "SHIPPED",
        _ => matches!(
            (from, to),
            ("PENDING", "PROCESSING" | "REJECTED" | "CANCELLED")
                | ("PROCESSING", "SHIPPED" | "CANCELLED")
                | ("SHIPPED", "DELIVERED")
        ),
    }
}

/// Positions have no holes, everything is published, and whoever was listening heard it in order.
async fn check_telling(simulation: &Simulation, findings: &mut Vec<String>) {
    let sql = "SELECT position, published_at IS NOT NULL AS published FROM order_events ORDER BY position";
    let mut expected = 0_i64;
    for row in rows(&simulation.orders_database, sql).await {
        expected += 1;
        let position: Option<i64> = row.try_get("", "position").unwrap();
        let published: bool = row.try_get("", "published").unwrap();
        if position != Some(expected) || !published {
            findings.push(format!("event {expected} has position {position:?}, published: {published}"));
        }
    }
    let mut last = 0;
    for event in &simulation.recorded {
        // What is published again after a crash may repeat; it may not skip.
        if event.position > last + 1 {
            findings.push(format!("event {} was heard after {last}", event.position));
        }
        last = last.max(event.position);
    }
    if last != expected {
        findings.push(format!("the last event heard is {last}, the last there is {expected}"));
    }
}

/// What is on hand and reserved is what the orders say, and the ledger adds up to it.
async fn check_stock(simulation: &Simulation, findings: &mut Vec<String>) {
    let sql = "SELECT lines.product_id AS product_id, orders.status AS status, \
               orders.deleted_at IS NOT NULL AS deleted, SUM(lines.quantity) AS units \
               FROM orders JOIN order_line_items AS lines ON lines.order_id = orders.id \
               WHERE NOT orders.fenced GROUP BY 1, 2, 3";
    let (mut reserved, mut shipped): (BTreeMap<String, i64>, BTreeMap<String, i64>) = Default::default();
    for row in rows(&simulation.orders_database, sql).await {
        let status: String = row.try_get("", "status").unwrap();
        let deleted: bool = row.try_get("", "deleted").unwrap();
        let product: String = row.try_get("", "product_id").unwrap();
        let units: i64 = row.try_get("", "units").unwrap();
        match (status.as_str(), deleted) {
            ("PROCESSING", false) => *reserved.entry(product).or_default() += units,
            ("SHIPPED" | "DELIVERED", _) => *shipped.entry(product).or_default() += units,
            _ => {}
        }
    }
    let sql = "SELECT id, on_hand, reserved, \
               (SELECT SUM(on_hand_delta) FROM stock_movements WHERE product_id = products.id) AS moved, \
               (SELECT SUM(reserved_delta) FROM stock_movements WHERE product_id = products.id) AS held \
               FROM products";
    for row in rows(&simulation.inventory_database, sql).await {
        let product: String = row.try_get("", "id").unwrap();
        let number = |column: &str| row.try_get::<i64>("", column).unwrap();
        let opening = STOCK.iter().find(|(id, _)| *id == product).map_or(0, |(_, on_hand)| *on_hand);
        let expected = (opening - shipped.get(&product).unwrap_or(&0), *reserved.get(&product).unwrap_or(&0));
        let row = (number("on_hand"), number("reserved"));
        let ledger = (number("moved"), number("held"));
        if row != expected || ledger != expected {
            findings.push(format!(
                "{product}: (on hand, reserved) is {row:?}, the ledger says {ledger:?}, the orders say {expected:?}"
            ));
        }
    }
}
