//! The facts that the judge compares: what services, tables, the broker and clients say of the same orders.

use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead;
use std::path::Path;

use anyhow::{Context, ensure};
use schema::ids::{CustomerId, OrderId, ProductId};
use schema::inventory_messages::{AuditedReservation, StockMismatch};
use schema::order::{OrderStatus, Rejection};
use schema::order_events::EventKind;
use schema::order_messages::{AuditedOrder, Item, OrderScope};
use serde::{Deserialize, Serialize};

/// Lines of a client log at most.
const LINES_MAX: usize = 5_000_000;

/// Everything that is known of a system, or of some of its orders, at one time. A source that was not observed is empty
/// or `None`, and the checks that need it find nothing.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Whether these are all orders of a system at rest and everything that its clients ever asked for. Otherwise the system
    /// is at work, and the records are those of some clients.
    pub complete: bool,
    pub orders: Vec<OrderFacts>,
    pub events: Vec<EventFacts>,
    /// How many events the outbox holds, as order-service reports it.
    pub unpublished: u64,
    /// What a subscriber of the broker received.
    pub recorded_events: Option<RecordedEvents>,
    pub reservations: Vec<AuditedReservation>,
    /// Products that inventory-service itself reports as inconsistent.
    pub mismatches: Vec<StockMismatch>,
    pub ledger: Option<Ledger>,
    /// The units of a product that could be ordered when an order was REJECTED for want of it, by the ledger.
    pub levels: BTreeMap<(OrderId, ProductId), Vec<i64>>,
    pub placements: Vec<PlacementRecord>,
    pub changes: Vec<ChangeRecord>,
    /// What clients were answered about orders that they changed.
    pub answered_versions: Vec<OrderVersion>,
    pub subscribers: Vec<SubscriberRecord>,
    /// Status and version of each order that the API lists.
    pub listed: Option<BTreeMap<OrderId, (OrderStatus, u32)>>,
    /// Queues of work and how many messages each holds.
    pub queues: Vec<(String, u64)>,
    /// The ids of dead letters, and those of the undecodable messages that a test published.
    pub dead_letters: Vec<String>,
    pub poison: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct OrderFacts {
    pub order_id: OrderId,
    pub customer_id: CustomerId,
    pub idempotency_key: Option<String>,
    pub status: OrderStatus,
    pub version: u32,
    pub deleted: bool,
    /// The fingerprint of the input that it was created from.
    #[serde(default)]
    pub fingerprint: Option<String>,
    #[serde(default)]
    pub items: Vec<Item>,
    /// Why it is REJECTED, if it is.
    #[serde(default)]
    pub rejection: Option<Rejection>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct EventFacts {
    pub order_id: OrderId,
    pub customer_id: CustomerId,
    pub version: u32,
    pub kind: EventKind,
    pub status: OrderStatus,
    pub previous_status: Option<OrderStatus>,
    pub position: Option<i64>,
    /// Whether it is marked as published; `None` if position and mark were not observed.
    pub published: Option<bool>,
}

impl Facts {
    /// Adds an order and its events, as order-service reports them to an audit.
    pub fn add_order(&mut self, order: AuditedOrder) {
        let AuditedOrder {
            order_id,
            customer_id,
            idempotency_key,
            status,
            version,
            deleted,
            items,
            rejection,
            steps,
        } = order;
        self.events.extend(steps.into_iter().map(|step| EventFacts {
            order_id,
            customer_id: customer_id.clone(),
            version: step.version,
            kind: step.kind,
            status: step.status,
            previous_status: step.previous_status,
            position: None,
            published: None,
        }));
        self.orders.push(OrderFacts {
            order_id,
            customer_id,
            idempotency_key,
            status,
            version,
            deleted,
            fingerprint: None,
            items,
            rejection,
        });
    }
}

/// Events in the order in which a subscriber of the broker received them.
#[derive(Debug, Clone, Default)]
pub struct RecordedEvents {
    /// Whether the broker delivers events in order, so that none may be skipped.
    pub in_order: bool,
    /// Order, version and position of each.
    pub events: Vec<(OrderId, u32, i64)>,
}

/// The tables of stock.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    pub products: Vec<ProductFacts>,
    pub movements: Vec<MovementFacts>,
    /// What was received of each product in all, if known.
    pub received: Option<BTreeMap<ProductId, i64>>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct ProductFacts {
    pub product_id: ProductId,
    pub on_hand: i64,
    pub reserved: i64,
}

#[derive(Debug, Clone, Deserialize)]
pub struct MovementFacts {
    pub id: i64,
    pub product_id: ProductId,
    pub kind: String,
    pub order_id: Option<OrderId>,
    pub on_hand_delta: i64,
    pub reserved_delta: i64,
    pub on_hand_after: i64,
    pub reserved_after: i64,
}

/// What a client's attempts to place one order came to: the strongest outcome of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientOutcome {
    /// Nothing was done: `userErrors`, or `extensions.outcome` NONE.
    Error,
    /// It may have been done: `extensions.outcome` UNKNOWN, or no answer.
    Unknown,
    /// It was done.
    Ok,
}

/// What a client recorded of one order that it asked for.
#[derive(Debug, Clone)]
pub struct PlacementRecord {
    /// The order that the client's key names, or was answered for a request without a key.
    pub order_id: OrderId,
    pub outcome: ClientOutcome,
    /// Whether any attempt had an unknown outcome.
    pub was_unknown: bool,
    pub answered: Vec<OrderId>,
    /// The fingerprints of all inputs that were accepted under this id, if recorded.
    pub fingerprints: BTreeSet<String>,
}

/// One request of a client to change an order.
#[derive(Debug, Clone)]
pub struct ChangeRecord {
    pub order_id: OrderId,
    pub effect: ChangeEffect,
    pub outcome: ClientOutcome,
}

/// What only clients do to orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeEffect {
    Cancelled,
    Shipped,
    Delivered,
    DetailsChanged,
    Deleted,
}

/// An order in one of its versions, as a client was answered it or received it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderVersion {
    pub order_id: OrderId,
    pub version: u32,
    pub status: OrderStatus,
}

/// What one subscriber of `orderUpdated` received.
#[derive(Debug, Clone)]
pub struct SubscriberRecord {
    pub name: String,
    /// Whose orders it follows.
    pub scope: OrderScope,
    /// It receives what comes after this version of this order; before its first if 0.
    pub after: (OrderId, u32),
    pub received: Vec<OrderVersion>,
    /// Errors that a client can't recover from by connecting again.
    pub errors: Vec<String>,
}

/// What a client wrote down of each order: the strongest outcome, and the answered orders that its key does not name.
#[derive(Debug, Default)]
pub(super) struct ClientLog(pub(super) BTreeMap<OrderId, (ClientOutcome, Vec<OrderId>)>);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    key: Option<String>,
    customer_id: CustomerId,
    outcome: ClientOutcome,
    order_id: Option<OrderId>,
}

impl ClientLog {
    /// Reads a file of JSON lines: `{"key": ..., "customerId": ..., "outcome": "ok|error|unknown", "orderId": ...}`.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(std::io::BufReader::new(file)).with_context(|| format!("in {}", path.display()))
    }

    fn parse(lines: impl BufRead) -> anyhow::Result<Self> {
        let mut log = Self::default();
        for (number, line) in (1..).zip(lines.lines()) {
            ensure!(number <= LINES_MAX, "more than {LINES_MAX} lines");
            let line = line.with_context(|| format!("line {number}"))?;
            if !line.trim().is_empty() {
                log.add(serde_json::from_str(&line).with_context(|| format!("line {number}"))?);
            }
        }
        Ok(log)
    }

    /// An attempt that failed without a key has no id, and left nothing that could be looked for.
    fn add(&mut self, line: Line) {
        let named = line.key.map(|key| OrderId::for_idempotency_key(&line.customer_id, &key));
        let Some(order_id) = named.or(line.order_id) else { return };
        let (strongest, misnamed) = self.0.entry(order_id).or_insert((line.outcome, Vec::new()));
        *strongest = line.outcome.max(*strongest);
        if line.outcome == ClientOutcome::Ok {
            misnamed.extend(line.order_id.filter(|answered| *answered != order_id));
        }
    }

    pub(super) fn record(&self, order_id: OrderId) -> Option<PlacementRecord> {
        let (outcome, misnamed) = self.0.get(&order_id)?;
        Some(PlacementRecord {
            order_id,
            outcome: *outcome,
            was_unknown: *outcome == ClientOutcome::Unknown,
            answered: misnamed.clone(),
            fingerprints: BTreeSet::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(key: &str) -> OrderId {
        OrderId::for_idempotency_key(&"CUST01".parse().unwrap(), key)
    }

    fn log(lines: &str) -> ClientLog {
        ClientLog::parse(lines.as_bytes()).unwrap()
    }

    #[test]
    fn a_success_outweighs_an_unknown_and_an_unknown_an_error() {
        let log = log(r#"{"key":"a","customerId":"CUST01","outcome":"unknown","orderId":null}
{"key":"a","customerId":"CUST01","outcome":"ok"}
{"key":"b","customerId":"CUST01","outcome":"unknown"}

{"key":"b","customerId":"CUST01","outcome":"error","more":1}
{"key":"c","customerId":"CUST01","outcome":"error"}"#);
        let outcomes = ["a", "b", "c", "d"].map(|key| log.record(named(key)).map(|record| record.outcome));
        use ClientOutcome::{Error, Ok, Unknown};
        assert_eq!(outcomes, [Some(Ok), Some(Unknown), Some(Error), None]);
        assert_eq!(log.0.len(), 3);
    }

    #[test]
    fn an_answer_with_another_id_than_the_key_names_is_kept() {
        let (a, b) = (named("a"), named("b"));
        let log = log(&format!(r#"{{"key":"a","customerId":"CUST01","outcome":"ok","orderId":"{b}"}}"#));
        assert_eq!(log.record(a).unwrap().answered, [b]);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        let lines = "{\"key\":\"a\",\"customerId\":\"CUST01\",\"outcome\":\"ok\"}\n{\"key\":";
        let error = ClientLog::parse(lines.as_bytes()).unwrap_err();
        assert!(format!("{error:#}").starts_with("line 2: "), "{error:#}");
    }
}
