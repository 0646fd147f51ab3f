//! order-service as its clients and its broker see it.

use std::sync::Arc;
use std::time::Duration;

use bus::clock::Deadline;
use bus::clock::SystemIds;
use bus::clock::{Clock, ManualClock};
use bus::consumer::{Disposition, Job, MessageHandler as _};
use bus::envelope::{self, Envelope};
use bus::failure::Failure;
use bus::message::Message;
use bus::rpc_server::{Request, RequestHandler as _};
use order_service::pending::{Retried, RetryPending};
use order_service::place_order::PlaceOrders;
use order_service::requests::OrderRequests;
use order_service::{Context, Timeouts};
use schema::domain_error::{DomainError, DomainResult};
use schema::ids::{CustomerId, OrderId};
use schema::order::{Order, OrderStatus};
use schema::order_messages::{
    Change, Changes, CreateOrder, HistoryEntry, Item, OrderCreated, OrderRef, OrderScope, Replay, Replayed,
    Settle, Settled,
};
use schema::pattern;
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::Database;
use store::failpoint::{Failpoint, Failpoints};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::backends::Backends;

pub(crate) struct OrderService {
    pub(crate) context: Context,
    pub(crate) backends: Arc<Backends>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) url: String,
    #[expect(dead_code, reason = "removed with the service")]
    folder: Option<tempfile::TempDir>,
}

/// A copy of a command on its way, to be delivered as often as a test likes.
#[derive(Clone)]
pub(crate) struct Sent(pub(crate) Job);

impl OrderService {
    pub(crate) async fn on_sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/orders.db", folder.path().display());
        Self::open(url, Some(folder)).await
    }

    pub(crate) async fn on_postgres() -> Self {
        Self::on_postgres_at(testkit::postgres_database().await).await
    }

    pub(crate) async fn on_postgres_at(url: String) -> Self {
        Self::open(url, None).await
    }

    async fn open(url: String, folder: Option<tempfile::TempDir>) -> Self {
        // Ahead of the orders, which say that they were placed now or within a minute.
        let clock = Arc::new(ManualClock::at(bus::clock::SystemClock.now().plus(Duration::from_hours(1))));
        let database = Database::connect(&url, clock.clone()).await.unwrap();
        migrations::ORDERS.migrate(&database).await.unwrap();
        let backends = Arc::new(Backends::default());
        for (product, units) in [("MUG", 100), ("TRAY", 100), ("RARE", 1)] {
            backends.state().stock.insert(product.parse().unwrap(), units);
        }
        let context = Context {
            database,
            rpc: backends.clone(),
            known_customers: Arc::default(),
            clock: clock.clone(),
            ids: Arc::new(SystemIds),
            committed: Arc::new(Notify::new()),
            failpoints: Failpoints::default(),
            timeouts: Timeouts {
                place_timeout: testkit::WAIT_LIMIT,
                request_timeout: testkit::WAIT_LIMIT,
                ..Timeouts::default()
            },
        };
        Self { context, backends, clock, url, folder }
    }

    /// For tests in which a service never answers: long enough for a request on a busy machine.
    pub(crate) fn impatient(mut self) -> Self {
        self.context.timeouts.place_timeout = Duration::from_millis(500);
        self.context.timeouts.request_timeout = Duration::from_millis(500);
        self
    }

    /// Another copy of the service on the same database.
    pub(crate) async fn another_copy(&self) -> Self {
        let database = Database::connect(&self.url, self.clock.clone()).await.unwrap();
        Self {
            context: Context { database, ..self.context.clone() },
            backends: self.backends.clone(),
            clock: self.clock.clone(),
            url: self.url.clone(),
            folder: None,
        }
    }

    pub(crate) fn command(&self, placement: CreateOrder) -> Sent {
        self.command_of(Uuid::now_v7(), placement)
    }

    pub(crate) fn command_of(&self, message_id: Uuid, placement: CreateOrder) -> Sent {
        let body = envelope::write(pattern::ORDER_CREATE, &placement, Some("1"));
        let message = Message {
            message_id: Some(message_id.to_string()),
            reply_to: Some("replies".to_owned()),
            kind: Some(pattern::ORDER_CREATE.to_owned()),
            persistent: true,
            body,
            ..Message::default()
        };
        let envelope = Envelope::read(&message.body).unwrap();
        Sent(Job { envelope, message })
    }

    /// Delivers one batch.
    pub(crate) async fn deliver(&self, batch: &[Sent]) -> Vec<Disposition> {
        let works: Vec<Job> = batch.iter().map(|sent| sent.0.clone()).collect();
        let dispositions = PlaceOrders(self.context.clone()).handle(&works).await;
        assert_eq!(dispositions.len(), batch.len());
        dispositions
    }

    /// Runs into a failpoint and is dropped there, as in a crash.
    pub(crate) async fn crash_at(&self, failpoint: Failpoint, work: impl AsyncFnOnce(Self)) {
        let reached = Arc::new(Notify::new());
        let signal = reached.clone();
        let mut crashing = self.another_copy().await;
        crashing.context.failpoints = Failpoints::new(move |at| {
            let signal = signal.clone();
            Box::pin(async move {
                if at == failpoint {
                    signal.notify_one();
                    std::future::pending().await
                }
            })
        });
        tokio::select! {
            () = work(crashing) => panic!("it did not come to {failpoint:?}"),
            () = reached.notified() => {}
        }
    }

    /// Places an order and returns the answer to its command.
    pub(crate) async fn place(&self, placement: CreateOrder) -> Result<OrderCreated, DomainError> {
        let dispositions = self.deliver(&[self.command(placement)]).await;
        answer_of(dispositions.into_iter().next().unwrap())
    }

    /// Places an order that must be accepted.
    pub(crate) async fn order(&self, items: &[(&str, u32)]) -> Order {
        self.place(placement("CUST01", items)).await.unwrap().order.unwrap()
    }

    pub(crate) async fn request<Q: Serialize, R: DeserializeOwned>(
        &self,
        pattern: &str,
        items: &[Q],
    ) -> Result<Vec<R>, Failure> {
        request_to(&self.context, pattern, items).await
    }

    pub(crate) async fn ask_one<Q: Serialize, R: DeserializeOwned>(&self, pattern: &str, item: &Q) -> R {
        let mut answers = self.request(pattern, std::slice::from_ref(item)).await.unwrap();
        assert_eq!(answers.len(), 1);
        answers.pop().unwrap()
    }

    pub(crate) async fn get(&self, order_id: OrderId) -> Option<Order> {
        self.ask_one(pattern::ORDER_GET, &OrderRef { order_id, owner: OrderScope::Any }).await
    }

    pub(crate) async fn change(&self, pattern: &str, change: &Change) -> Result<Order, DomainError> {
        self.ask_one::<_, DomainResult<Order>>(pattern, change).await.into_result()
    }

    pub(crate) async fn update(&self, order_id: OrderId, changes: Changes) -> Result<Order, DomainError> {
        self.change(pattern::ORDER_UPDATE, &change_of(order_id, changes)).await
    }

    pub(crate) async fn cancel(&self, order_id: OrderId) -> Result<Order, DomainError> {
        self.change(pattern::ORDER_CANCEL, &change_of(order_id, Changes::default())).await
    }

    pub(crate) async fn delete(&self, order_id: OrderId) -> Result<Order, DomainError> {
        self.change(pattern::ORDER_DELETE, &change_of(order_id, Changes::default())).await
    }

    pub(crate) async fn history(&self, order_id: OrderId) -> Vec<HistoryEntry> {
        self.ask_one(pattern::ORDER_HISTORY, &OrderRef { order_id, owner: OrderScope::Any }).await
    }

    pub(crate) async fn replay(&self, replay: &Replay) -> Result<Replayed, DomainError> {
        self.ask_one::<_, DomainResult<Replayed>>(pattern::ORDER_REPLAY, replay).await.into_result()
    }

    pub(crate) async fn settle(&self, order_id: OrderId, attempt: u32) -> Settled {
        self.ask_one(pattern::ORDER_SETTLE, &Settle { order_id, attempt }).await
    }

    /// One tick of the retry of PENDING orders.
    pub(crate) async fn retry(&self) -> Retried {
        self.retrying().tick().await.unwrap()
    }

    /// The retry of PENDING orders, to be ticked more than once.
    pub(crate) fn retrying(&self) -> RetryPending {
        RetryPending::new(self.context.clone())
    }

    /// Retries until the order has left PENDING.
    pub(crate) async fn retry_until_settled(&self, order_id: OrderId) -> Order {
        testkit::eventually("the order has left PENDING", async || {
            // On SQLite it is the service's clock by which orders become due.
            self.clock.advance(Duration::from_secs(1));
            self.retry().await;
            self.get(order_id).await.filter(|order| order.status != OrderStatus::Pending)
        })
        .await
    }

    /// Whether its own clock is the database's too.
    pub(crate) fn is_on_sqlite(&self) -> bool {
        self.context.database.backend() == sea_orm::DbBackend::Sqlite
    }

    /// Units that are in stock and not held.
    pub(crate) fn in_stock(&self, product: &str) -> u32 {
        self.backends.state().stock[&product.parse().unwrap()]
    }

    pub(crate) async fn count(&self, sql: &str) -> i64 {
        use sea_orm::{ConnectionTrait as _, Statement};
        let database = &self.context.database;
        let statement =
            Statement::from_string(database.backend(), format!("SELECT count(*) AS n FROM {sql}"));
        let row = database.read().query_one_raw(statement).await.unwrap().unwrap();
        row.try_get("", "n").unwrap()
    }
}

pub(crate) async fn request_to<Q: Serialize, R: DeserializeOwned>(
    context: &Context,
    pattern: &str,
    items: &[Q],
) -> Result<Vec<R>, Failure> {
    let body = envelope::write(pattern, items, Some("1"));
    let envelope = Envelope::read(&body).unwrap();
    let request = Request { envelope, deadline: Deadline::after(Duration::from_secs(30)) };
    let answer = OrderRequests(context.clone()).handle(request).await?;
    Ok(serde_json::from_str(answer.get()).unwrap())
}

pub(crate) fn answer_of(disposition: Disposition) -> Result<OrderCreated, DomainError> {
    match disposition {
        Disposition::Done(Some(answer)) => {
            serde_json::from_str::<DomainResult<OrderCreated>>(answer.get()).unwrap().into_result()
        }
        other => panic!("no answer: {other:?}"),
    }
}

pub(crate) fn customer(id: &str) -> CustomerId {
    id.parse().unwrap()
}

pub(crate) fn owner(id: &str) -> OrderScope {
    OrderScope::Customer { customer_id: customer(id) }
}

pub(crate) fn placement(customer_id: &str, items: &[(&str, u32)]) -> CreateOrder {
    CreateOrder {
        order_id: OrderId(Uuid::now_v7()),
        customer_id: customer(customer_id),
        items: items
            .iter()
            .map(|&(product, quantity)| Item { product_id: product.parse().unwrap(), quantity })
            .collect(),
        shipping_address: None,
        idempotency_key: None,
        placed_at: bus::clock::SystemClock.now(),
    }
}

pub(crate) fn keyed(key: &str, items: &[(&str, u32)]) -> CreateOrder {
    let placement = placement("CUST01", items);
    CreateOrder {
        order_id: OrderId::for_idempotency_key(&placement.customer_id, key),
        idempotency_key: Some(key.to_owned()),
        ..placement
    }
}

pub(crate) fn change_of(order_id: OrderId, changes: Changes) -> Change {
    Change { request_id: Uuid::now_v7(), order_id, owner: OrderScope::Any, changes, expected_version: None }
}

pub(crate) fn address(text: &str) -> Changes {
    Changes { shipping_address: Some(text.to_owned()), ..Changes::default() }
}

pub(crate) fn shipped() -> Changes {
    Changes {
        status: Some(OrderStatus::Shipped),
        tracking_company: Some("Post".to_owned()),
        tracking_number: Some("42".to_owned()),
        ..Changes::default()
    }
}
