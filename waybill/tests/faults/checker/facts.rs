//! Everything a judgement rests on, gathered from outside.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::cluster::Column::{Holds, Plain, Uuid as Id};
use crate::cluster::{Cluster, RecordedEvents, Tables, Whose};
use crate::load::{Api, CUSTOMERS, Change, ClientLog, Entry, Seen, Subscriber, Told};

/// A state of the whole system.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) orders: Vec<OrderRow>,
    pub(crate) lines: Vec<LineRow>,
    pub(crate) events: Vec<EventRow>,
    pub(crate) reservations: Vec<ReservationRow>,
    pub(crate) products: Vec<ProductRow>,
    pub(crate) movements: Vec<MovementRow>,
    /// Orders as the API lists them, by id: status and version.
    pub(crate) listed: Option<BTreeMap<Uuid, (String, i64)>>,
    /// The events that the broker was heard to take, where that is listened to.
    pub(crate) heard: Option<RecordedEvents>,
    /// The dead letters' ids.
    pub(crate) dead_letters: Vec<String>,
    /// The ids of the poison that was injected.
    pub(crate) poison: Vec<String>,
    /// What clients wrote down.
    pub(crate) entries: Vec<Entry>,
    pub(crate) told: Vec<Told>,
    pub(crate) changes: Vec<Change>,
    pub(crate) subscribers: Vec<Followed>,
}

/// A row of `orders`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct OrderRow {
    pub(crate) id: Uuid,
    pub(crate) customer_id: String,
    pub(crate) status: String,
    pub(crate) version: i64,
    pub(crate) idempotency_key: Option<String>,
    deleted: i64,
    fenced: i64,
}

impl OrderRow {
    /// Whether this is an order rather than the fence that stands where none may come.
    pub(crate) fn is_order(&self) -> bool {
        self.fenced == 0
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.deleted == 1
    }
}

/// A row of `order_line_items`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct LineRow {
    pub(crate) order_id: Uuid,
    pub(crate) product_id: String,
    pub(crate) quantity: i64,
}

/// A row of `order_events`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct EventRow {
    pub(crate) position: Option<i64>,
    pub(crate) order_id: Uuid,
    pub(crate) customer_id: String,
    pub(crate) version: i64,
    pub(crate) kind: String,
    pub(crate) status: String,
    pub(crate) previous_status: Option<String>,
    published: i64,
}

impl EventRow {
    pub(crate) fn is_published(&self) -> bool {
        self.published == 1
    }
}

/// A row of `reservations`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ReservationRow {
    pub(crate) order_id: Uuid,
    pub(crate) state: String,
}

/// A row of `products`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ProductRow {
    pub(crate) id: String,
    pub(crate) on_hand: i64,
    pub(crate) reserved: i64,
}

/// A row of `stock_movements`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct MovementRow {
    pub(crate) id: i64,
    pub(crate) product_id: String,
    pub(crate) kind: String,
    pub(crate) order_id: Option<Uuid>,
    pub(crate) on_hand_delta: i64,
    pub(crate) reserved_delta: i64,
    pub(crate) on_hand_after: i64,
    pub(crate) reserved_after: i64,
}

/// What one subscriber saw, and from where on it had to see everything.
#[derive(Debug, Clone)]
pub(crate) struct Followed {
    pub(crate) name: String,
    pub(crate) customer: String,
    pub(crate) from: (Uuid, i64),
    pub(crate) seen: Vec<Seen>,
    pub(crate) complaints: Vec<String>,
}

impl Facts {
    /// The tables alone.
    pub(crate) async fn of_tables(tables: &Tables) -> Result<Self> {
        let orders = [
            Id("id"),
            Plain("customer_id"),
            Plain("status"),
            Plain("version"),
            Plain("idempotency_key"),
            Holds("deleted", "deleted_at IS NOT NULL"),
            Holds("fenced", "fenced"),
        ];
        let events = [
            Plain("position"),
            Id("order_id"),
            Plain("customer_id"),
            Plain("version"),
            Plain("kind"),
            Plain("status"),
            Plain("previous_status"),
            Holds("published", "published_at IS NOT NULL"),
        ];
        let lines = [Id("order_id"), Plain("product_id"), Plain("quantity")];
        let products = [Plain("id"), Plain("on_hand"), Plain("reserved")];
        let movements = [
            Plain("id"),
            Plain("product_id"),
            Plain("kind"),
            Id("order_id"),
            Plain("on_hand_delta"),
            Plain("reserved_delta"),
            Plain("on_hand_after"),
            Plain("reserved_after"),
        ];
        Ok(Self {
            orders: tables.rows(Whose::Orders, "orders", &orders).await?,
            lines: tables.rows(Whose::Orders, "order_line_items", &lines).await?,
            events: tables.rows(Whose::Orders, "order_events", &events).await?,
            reservations: tables
                .rows(Whose::Inventory, "reservations", &[Id("order_id"), Plain("state")])
                .await?,
            products: tables.rows(Whose::Inventory, "products", &products).await?,
            movements: tables.rows(Whose::Inventory, "stock_movements", &movements).await?,
            ..Self::default()
        })
    }

    /// Takes over the tables of other facts.
    pub(crate) fn take_tables(&mut self, tables: Self) {
        let Self { orders, lines, events, reservations, products, movements, .. } = tables;
        (self.orders, self.lines, self.events) = (orders, lines, events);
        (self.reservations, self.products, self.movements) = (reservations, products, movements);
    }

    /// Adds what the API says.
    pub(crate) async fn ask_api(&mut self, cluster: &Cluster) -> Result<()> {
        let mut listed = BTreeMap::new();
        for customer in CUSTOMERS {
            list(&cluster.api(customer)?, &mut listed).await?;
        }
        self.listed = Some(listed);
        Ok(())
    }

    /// Adds what clients wrote down.
    pub(crate) fn ask_clients(&mut self, log: &ClientLog, subscribers: &[Subscriber]) {
        self.entries = log.entries();
        self.told = log.told();
        self.changes = log.changes();
        let followed = subscribers.iter().enumerate().map(|(index, subscriber)| {
            let notes = subscriber.notes();
            Followed {
                name: format!("subscriber {index} ({} connections)", notes.connections),
                customer: subscriber.customer.clone(),
                from: subscriber.from,
                seen: notes.seen,
                complaints: notes.complaints,
            }
        });
        self.subscribers = followed.collect();
    }

    /// The real orders, fences left out.
    pub(crate) fn orders(&self) -> impl Iterator<Item = &OrderRow> {
        self.orders.iter().filter(|order| order.is_order())
    }

    /// Each order's events by version.
    pub(crate) fn histories(&self) -> BTreeMap<Uuid, Vec<&EventRow>> {
        let mut histories: BTreeMap<Uuid, Vec<&EventRow>> = BTreeMap::new();
        for event in &self.events {
            histories.entry(event.order_id).or_default().push(event);
        }
        histories.values_mut().for_each(|events| events.sort_by_key(|event| event.version));
        histories
    }
}

async fn list(api: &Api, listed: &mut BTreeMap<Uuid, (String, i64)>) -> Result<()> {
    #[derive(Deserialize)]
    struct Node {
        id: Uuid,
        status: String,
        version: i64,
    }
    let document = "query ($after: String) { orders(first: 100, after: $after) {
        nodes { id status version } pageInfo { hasNextPage endCursor } } }";
    let mut after = serde_json::Value::Null;
    loop {
        let data = api.query(document, json!({ "after": after })).await?;
        let page = &data["orders"];
        let nodes: Vec<Node> = serde_json::from_value(page["nodes"].clone())?;
        listed.extend(nodes.into_iter().map(|node| (node.id, (node.status, node.version))));
        if page["pageInfo"]["hasNextPage"] != json!(true) {
            return Ok(());
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
}
