//! inventory-service as the other services see it.

use std::sync::Arc;
use std::time::Duration;

use bus::clock::Deadline;
use bus::clock::SystemClock;
use bus::consumer::{Disposition, Job, MessageHandler};
use bus::envelope::Envelope;
use bus::events::event_message;
use bus::rpc_server::{Request, RequestHandler};
use inventory_service::Inventory;
use inventory_service::stock::HoldTime;
use schema::ids::{OrderId, ProductId, line_item_id};
use schema::inventory_messages::{Adjust, PutProduct, Reserve, Reserved, StockAudited};
use schema::money::{Currency, Money};
use schema::order::{LineItem, Order, OrderStatus};
use schema::order_events::{EventKind, OrderEvent};
use schema::order_messages::{AuditPage, Item};
use schema::pattern;
use schema::product::Product;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::to_raw_value;
use store::Database;
use store::failpoint::Failpoints;
use tempfile::TempDir;
use uuid::Uuid;

pub(crate) const HOLD: Duration = Duration::from_secs(60);

pub(crate) struct InventoryService {
    pub(crate) inventory: Inventory,
    _folder: TempDir,
}

/// Runs a test on an empty database of each kind.
pub(crate) async fn on_each_database(test: impl AsyncFn(InventoryService)) {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = format!("sqlite://{}/inventory.db", folder.path().display());
    test(InventoryService::open(&sqlite, folder).await).await;
    test(InventoryService::on_postgres().await).await;
}

impl InventoryService {
    /// One on an empty database of PostgreSQL.
    pub(crate) async fn on_postgres() -> Self {
        Self::open(&testkit::postgres_database().await, tempfile::tempdir().unwrap()).await
    }

    async fn open(url: &str, folder: TempDir) -> Self {
        let database = Database::connect(url, Arc::new(SystemClock)).await.unwrap();
        migrations::INVENTORY.migrate(&database).await.unwrap();
        let failpoints = Failpoints::default();
        let inventory =
            Inventory { database, currency: Currency::USD, hold_time: HoldTime(HOLD), failpoints };
        Self { inventory, _folder: folder }
    }

    /// Sends a request twice, as a broker may, and returns both answers.
    pub(crate) async fn ask<Q: Serialize, R: DeserializeOwned>(&self, pattern: &str, data: &Q) -> R {
        let first = self.ask_once(pattern, data).await;
        let second = self.ask_once(pattern, data).await;
        // A repeated adjustment says so.
        let second = second.replace(",\"repeated\":true", "");
        assert_eq!(first.replace(",\"repeated\":true", ""), second, "{pattern} delivered again");
        serde_json::from_str(&first).unwrap()
    }

    async fn ask_once<Q: Serialize>(&self, pattern: &str, data: &Q) -> String {
        let envelope = Envelope { pattern: pattern.to_owned(), data: to_raw_value(data).unwrap(), id: None };
        let request = Request { envelope, deadline: Deadline::after(testkit::WAIT_LIMIT) };
        RequestHandler::handle(&self.inventory, request).await.unwrap().get().to_owned()
    }

    /// Delivers events twice in one batch and twice more one by one.
    pub(crate) async fn tell(&self, events: &[OrderEvent]) {
        let batch: Vec<Job> = events.iter().chain(events).map(work).collect();
        assert_done(&MessageHandler::handle(&self.inventory, &batch).await);
        for work in &batch {
            assert_done(&MessageHandler::handle(&self.inventory, std::slice::from_ref(work)).await);
        }
    }

    pub(crate) async fn put(&self, id: &str, name: &str, description: &str) {
        let unit_price = Money { amount_minor: 1450, currency: Currency::USD };
        let put = PutProduct {
            id: product(id),
            name: name.to_owned(),
            description: description.to_owned(),
            unit_price,
        };
        let _: Vec<Product> = self.ask(pattern::INVENTORY_PUT, &[put]).await;
    }

    pub(crate) async fn receive(&self, id: &str, units: i64) {
        let _: Vec<Product> = self.ask(pattern::INVENTORY_ADJUST, &[adjust(id, units)]).await;
    }

    /// A product of this id with so many units on hand.
    pub(crate) async fn stock(&self, id: &str, units: i64) {
        self.put(id, id, "for a test").await;
        self.receive(id, units).await;
    }

    pub(crate) async fn reserve(&self, reserve: Reserve) -> Reserved {
        let mut answers: Vec<Reserved> = self.ask(pattern::INVENTORY_RESERVE, &[reserve]).await;
        answers.remove(0)
    }

    pub(crate) async fn available(&self, id: &str) -> u32 {
        let products: Vec<Option<Product>> = self.ask(pattern::INVENTORY_GET, &[product(id)]).await;
        products[0].as_ref().unwrap().available_quantity
    }

    pub(crate) async fn audit(&self) -> StockAudited {
        let mut audited: Vec<StockAudited> =
            self.ask(pattern::INVENTORY_AUDIT, &[AuditPage { after: None, limit: 500 }]).await;
        audited.remove(0)
    }

    /// Every product's row, ledger and held reservations agree.
    pub(crate) async fn assert_ledger_adds_up(&self) {
        assert_eq!(self.audit().await.mismatches, []);
    }
}

fn assert_done(dispositions: &[Disposition]) {
    assert!(
        dispositions.iter().all(|disposition| matches!(disposition, Disposition::Done(None))),
        "{dispositions:?}"
    );
}

pub(crate) fn work(event: &OrderEvent) -> Job {
    let (_, message) = event_message(Uuid::now_v7(), event, None);
    Job { envelope: Envelope::read(&message.body).unwrap(), message }
}

pub(crate) fn product(id: &str) -> ProductId {
    id.parse().unwrap()
}

pub(crate) fn adjust(id: &str, by: i64) -> Adjust {
    Adjust { adjustment_id: Uuid::now_v7(), product_id: product(id), by, reason: "counted".to_owned() }
}

pub(crate) fn fresh_order() -> OrderId {
    OrderId(Uuid::now_v7())
}

pub(crate) fn reserve(order_id: OrderId, attempt: u32, items: &[(&str, u32)]) -> Reserve {
    Reserve { order_id, fingerprint: "b3:f".to_owned(), attempt, items: to_items(items) }
}

fn to_items(items: &[(&str, u32)]) -> Vec<Item> {
    items.iter().map(|&(id, quantity)| Item { product_id: product(id), quantity }).collect()
}

/// The event that brought the order to this version.
pub(crate) fn event(
    order_id: OrderId,
    version: u32,
    status: OrderStatus,
    items: &[(&str, u32)],
) -> OrderEvent {
    let at = "2026-11-23T19:10:51.371Z".parse().unwrap();
    let line = |item: Item| LineItem {
        id: line_item_id(order_id, &item.product_id),
        product_id: item.product_id,
        product_name: None,
        quantity: item.quantity,
        unit_price: None,
    };
    let order = Order {
        id: order_id,
        customer_id: "CUST01".parse().unwrap(),
        status,
        version,
        fingerprint: "b3:f".to_owned(),
        line_items: to_items(items).into_iter().map(line).collect(),
        total_amount: None,
        shipping_address: None,
        tracking_company: None,
        tracking_number: None,
        rejection: None,
        created_at: at,
        updated_at: at,
    };
    OrderEvent {
        position: i64::from(version),
        kind: if version == 1 { EventKind::Created } else { EventKind::StatusChanged },
        order_id,
        customer_id: order.customer_id.clone(),
        version,
        previous_status: None,
        occurred_at: at,
        order,
    }
}

/// The event that the order was deleted at this version.
pub(crate) fn deleted(
    order_id: OrderId,
    version: u32,
    last: OrderStatus,
    items: &[(&str, u32)],
) -> OrderEvent {
    OrderEvent { kind: EventKind::Deleted, ..event(order_id, version, last, items) }
}
