use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bus::clock::Deadline;
use bus::rpc_client::{RequestError, RpcClient};
use inventory_service::expired_holds::{SettleError, SettleExpiredHolds};
use schema::inventory_messages::ReservationState::{Deducted, Held, Released, Void};
use schema::inventory_messages::Reserved;
use schema::order::OrderStatus::{Cancelled, Pending, Processing, Shipped};
use schema::order_messages::{Settle, Settled};
use schema::pattern::ORDER_SETTLE;
use serde_json::value::{RawValue, to_raw_value};

use crate::kit::{HOLD, InventoryService, event, fresh_order, on_each_database, reserve};

const ITEMS: &[(&str, u32)] = &[("MUG", 2)];

type Answer = Box<dyn Fn(&Settle) -> Option<Settled> + Send + Sync>;

/// An order-service that answers by a rule, if at all.
struct Orders {
    answer: Answer,
    asked: Mutex<Vec<Settle>>,
}

#[async_trait]
impl RpcClient for Orders {
    async fn call(
        &self,
        pattern: &str,
        data: Box<RawValue>,
        _: Deadline,
    ) -> Result<Box<RawValue>, RequestError> {
        assert_eq!(pattern, ORDER_SETTLE);
        let questions: Vec<Settle> = serde_json::from_str(data.get()).unwrap();
        self.asked.lock().unwrap().extend(questions.clone());
        let answers: Option<Vec<Settled>> =
            questions.iter().map(|question| (self.answer)(question)).collect();
        match answers {
            Some(answers) => Ok(to_raw_value(&answers).unwrap()),
            None => Err(RequestError::DeadlineExceeded { pattern: pattern.to_owned() }),
        }
    }
}

fn settling(
    service: &InventoryService,
    answer: impl Fn(&Settle) -> Option<Settled> + Send + Sync + 'static,
) -> (SettleExpiredHolds, Arc<Orders>) {
    let orders = Arc::new(Orders { answer: Box::new(answer), asked: Mutex::default() });
    let settling = SettleExpiredHolds {
        inventory: service.inventory.clone(),
        rpc: orders.clone(),
        timeout: testkit::WAIT_LIMIT,
    };
    (settling, orders)
}

fn stored(status: schema::order::OrderStatus, version: u32) -> Option<Settled> {
    Some(Settled::Order { status, version, deleted: false })
}

#[tokio::test]
async fn a_hold_without_a_report_becomes_what_its_order_has_become() {
    on_each_database(async |service| {
        service.stock("MUG", 100).await;
        let orders = [(); 5].map(|()| fresh_order());
        for order in orders {
            assert!(matches!(service.reserve(reserve(order, 1, ITEMS)).await, Reserved::Reserved { .. }));
        }
        let [void, pending, processing, cancelled, shipped] = orders;
        let (settling, asked) = settling(&service, move |question| match question.order_id {
            order if order == void => Some(Settled::Void),
            order if order == pending => stored(Pending, 1),
            order if order == processing => stored(Processing, 1),
            order if order == cancelled => stored(Cancelled, 2),
            _ => stored(Shipped, 3),
        });
        let now = service.inventory.database.now().await.unwrap();
        assert_eq!(settling.tick(now).await.unwrap(), 0, "they are fresh");
        assert_eq!(settling.tick(now.plus(HOLD)).await.unwrap(), 5);
        let mut states: Vec<_> =
            service.audit().await.reservations.iter().map(|row| (row.order_id, row.state)).collect();
        states.sort_by_key(|(order, _)| orders.iter().position(|known| known == order));
        assert_eq!(
            states,
            [(void, Void), (pending, Held), (processing, Held), (cancelled, Released), (shipped, Deducted)]
        );
        assert_eq!(service.available("MUG").await, 100 - 3 * 2);
        service.assert_ledger_adds_up().await;

        // The PENDING order is asked about again after one hold time, the confirmed one much later.
        asked.asked.lock().unwrap().clear();
        let reported = service.inventory.database.now().await.unwrap();
        assert_eq!(settling.tick(reported.plus(HOLD)).await.unwrap(), 1);
        assert_eq!(asked.asked.lock().unwrap().as_slice(), [Settle { order_id: pending, attempt: 1 }]);
        assert_eq!(settling.tick(reported.plus(HOLD * 11)).await.unwrap(), 2);
        assert_eq!(service.reserve(reserve(void, 1, ITEMS)).await, Reserved::Closed, "the voided attempt");
        assert!(matches!(service.reserve(reserve(void, 2, ITEMS)).await, Reserved::Reserved { .. }));
        service.assert_ledger_adds_up().await;
    })
    .await;
}

#[tokio::test]
async fn a_void_that_comes_too_late_leaves_the_next_attempt_alone() {
    on_each_database(async |service| {
        service.stock("MUG", 10).await;
        let order = fresh_order();
        service.reserve(reserve(order, 1, ITEMS)).await;
        let asked = [(Settle { order_id: order, attempt: 1 }, Settled::Void)];
        service.reserve(reserve(order, 2, ITEMS)).await;
        service.inventory.settle(&asked).await.unwrap();
        service.inventory.settle(&asked).await.unwrap();
        assert_eq!(service.audit().await.reservations[0].state, Held);
        assert_eq!(service.available("MUG").await, 8);
        service.assert_ledger_adds_up().await;
    })
    .await;
}

#[tokio::test]
async fn without_an_answer_nothing_is_released_and_it_is_asked_again() {
    on_each_database(async |service| {
        service.stock("MUG", 10).await;
        let order = fresh_order();
        service.reserve(reserve(order, 1, ITEMS)).await;
        let (settling, asked) = settling(&service, |_| None);
        let mut now = service.inventory.database.now().await.unwrap();
        for _ in 0..3 {
            now = now.plus(HOLD);
            assert!(matches!(settling.tick(now).await, Err(SettleError::Request(_))));
            assert_eq!(settling.tick(now).await.unwrap(), 0, "put off for one hold");
        }
        assert_eq!(asked.asked.lock().unwrap().len(), 3);
        assert_eq!(service.available("MUG").await, 8);
    })
    .await;
}

#[tokio::test]
async fn several_copies_ask_about_each_hold_once() {
    on_each_database(async |service| {
        service.stock("MUG", 1_000).await;
        let orders: Vec<_> = (0..30).map(|_| reserve(fresh_order(), 1, ITEMS)).collect();
        service.inventory.reserve(&orders).await.unwrap();
        // A settled hold is not due again for a copy that comes late.
        let (settling, asked) = settling(&service, |_| stored(Cancelled, 1));
        let later = service.inventory.database.now().await.unwrap().plus(HOLD + Duration::from_secs(1));
        let copies = futures::future::join_all((0..4).map(|_| settling.tick(later))).await;
        let counts: usize = copies.into_iter().map(Result::unwrap).sum();
        assert_eq!((counts, asked.asked.lock().unwrap().len()), (30, 30));
    })
    .await;
}

#[tokio::test]
async fn an_event_that_was_missed_is_healed_by_asking() {
    on_each_database(async |service| {
        service.stock("MUG", 10).await;
        let order = fresh_order();
        service.reserve(reserve(order, 1, ITEMS)).await;
        service.tell(&[event(order, 1, Processing, ITEMS)]).await;
        let (settling, _) = settling(&service, |_| stored(Cancelled, 2));
        let now = service.inventory.database.now().await.unwrap();
        assert_eq!(settling.tick(now.plus(HOLD * 9)).await.unwrap(), 0);
        assert_eq!(settling.tick(now.plus(HOLD * 11)).await.unwrap(), 1);
        assert_eq!(service.available("MUG").await, 10);
        service.tell(&[event(order, 2, Cancelled, ITEMS)]).await;
        assert_eq!(service.available("MUG").await, 10);
        service.assert_ledger_adds_up().await;
    })
    .await;
}
