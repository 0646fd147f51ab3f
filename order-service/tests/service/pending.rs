use std::time::Duration;

use order_service::Timeouts;
use order_service::pending::Retried;
use schema::order::{OrderStatus, RejectionCode};
use schema::order_events::EventKind;
use schema::pattern::INVENTORY_RESERVE;
use sea_orm::ConnectionTrait as _;
use store::failpoint::Failpoints;

use crate::backends::{Hold, Mood};
use crate::kit::{OrderService, address, keyed, placement};
use crate::on_both_databases;

on_both_databases!(
    a_pending_order_is_settled_once_inventory_is_back,
    an_answer_that_was_lost_is_asked_for_again_under_the_same_attempt,
    a_pending_order_can_turn_out_to_be_refused,
    a_pending_order_expires,
    a_pending_order_that_is_cancelled_stays_cancelled,
    a_conflict_is_overcome_by_the_next_attempt,
    a_change_that_overtakes_a_retry_is_kept_and_the_order_tried_again,
    two_copies_do_not_try_one_order_at_once,
    what_a_copy_held_when_it_died_is_tried_by_another_within_two_seconds,
    what_a_copy_waits_for_is_not_tried_by_another,
    while_a_service_is_away_that_is_said,
    what_waits_for_a_service_is_tried_as_soon_as_it_is_back,
);

async fn pending_order(service: &OrderService) -> schema::order::Order {
    service.backends.state().inventory = Mood::Away;
    let order = service.order(&[("MUG", 2)]).await;
    assert_eq!(order.status, OrderStatus::Pending);
    service.backends.state().inventory = Mood::Answers;
    order
}

async fn a_pending_order_is_settled_once_inventory_is_back(service: OrderService) {
    let pending = pending_order(&service).await;
    let order = service.retry_until_settled(pending.id).await;
    assert_eq!((order.status, order.version), (OrderStatus::Processing, 2));
    assert_eq!(order.total_amount.unwrap().to_decimal(), "20.00");
    assert_eq!(order.line_items[0].product_name.as_deref(), Some("Thing MUG"));
    let last = service.history(order.id).await.pop().unwrap();
    assert_eq!((last.kind, last.previous_status), (EventKind::StatusChanged, Some(OrderStatus::Pending)));
    service.clock.advance(Duration::from_secs(60));
    assert_eq!(service.retry().await, Retried::Nothing);
    assert_eq!(service.in_stock("MUG"), 98);
}

async fn an_answer_that_was_lost_is_asked_for_again_under_the_same_attempt(service: OrderService) {
    let patience = service.context.timeouts.clone();
    let mut service = service.impatient();
    service.backends.state().inventory = Mood::Silent;
    let pending = service.order(&[("MUG", 2)]).await;
    assert_eq!((pending.status, service.in_stock("MUG")), (OrderStatus::Pending, 98));
    service.backends.state().inventory = Mood::Answers;
    service.context.timeouts = patience;
    let order = service.retry_until_settled(pending.id).await;
    assert_eq!((order.status, service.in_stock("MUG")), (OrderStatus::Processing, 98));
}

async fn a_pending_order_can_turn_out_to_be_refused(service: OrderService) {
    let pending = pending_order(&service).await;
    service.backends.state().stock.insert("MUG".parse().unwrap(), 1);
    let order = service.retry_until_settled(pending.id).await;
    assert_eq!((order.status, order.version), (OrderStatus::Rejected, 2));
    assert_eq!(order.rejection.unwrap().code, RejectionCode::OutOfStock);
}

async fn a_pending_order_expires(mut service: OrderService) {
    let pending = pending_order(&service).await;
    service.backends.state().inventory = Mood::Away;
    service.context.timeouts = Timeouts { pending_max_age: Duration::ZERO, ..service.context.timeouts };
    let order = service.retry_until_settled(pending.id).await;
    assert_eq!(order.rejection.unwrap().code, RejectionCode::Expired);
}

async fn a_pending_order_that_is_cancelled_stays_cancelled(service: OrderService) {
    let pending = pending_order(&service).await;
    let cancelled = service.cancel(pending.id).await.unwrap();
    service.clock.advance(Duration::from_secs(60));
    assert_eq!(service.retry().await, Retried::Nothing);
    assert_eq!(service.get(pending.id).await, Some(cancelled));
}

async fn a_conflict_is_overcome_by_the_next_attempt(service: OrderService) {
    let placement = keyed("k1", &[("MUG", 2)]);
    let hold =
        Hold { fingerprint: "b3:other".to_owned(), attempt: 1, items: vec![("TRAY".parse().unwrap(), 5)] };
    service.backends.state().holds.insert(placement.order_id, hold);
    service.backends.state().stock.insert("TRAY".parse().unwrap(), 95);
    let pending = service.place(placement).await.unwrap().order.unwrap();
    assert_eq!(pending.status, OrderStatus::Pending);
    let order = service.retry_until_settled(pending.id).await;
    assert_eq!(order.status, OrderStatus::Processing);
    assert_eq!(
        (service.in_stock("MUG"), service.in_stock("TRAY")),
        (98, 100),
        "the other input's hold is superseded"
    );
}

async fn a_change_that_overtakes_a_retry_is_kept_and_the_order_tried_again(mut service: OrderService) {
    let pending = pending_order(&service).await;
    let (other, order_id) = (std::sync::Arc::new(service.another_copy().await), pending.id);
    service.context.failpoints = Failpoints::new(move |_| {
        let other = other.clone();
        Box::pin(async move {
            other.update(order_id, address("2 Hill Road")).await.unwrap();
        })
    });
    service.clock.advance(Duration::from_secs(1));
    assert_eq!(service.retry().await, Retried::Orders(1));
    let changed = service.get(order_id).await.unwrap();
    assert_eq!((changed.status, changed.version), (OrderStatus::Pending, 2));
    service.context.failpoints = Failpoints::default();
    let order = service.retry_until_settled(order_id).await;
    assert_eq!((order.version, order.shipping_address.as_deref()), (3, Some("2 Hill Road")));
    assert_eq!(service.in_stock("MUG"), 98);
}

async fn two_copies_do_not_try_one_order_at_once(service: OrderService) {
    let pending = pending_order(&service).await;
    let other = service.another_copy().await;
    let before = service.backends.asked(INVENTORY_RESERVE).len();
    let (here, there) = tokio::join!(service.retry(), other.retry());
    let mut tried = [here, there];
    tried.sort_by_key(|retried| *retried != Retried::Nothing);
    assert_eq!(tried, [Retried::Nothing, Retried::Orders(1)]);
    assert_eq!(service.backends.asked(INVENTORY_RESERVE).len(), before + 1);
    assert_eq!(service.get(pending.id).await.unwrap().version, 2);
}

async fn what_a_copy_held_when_it_died_is_tried_by_another_within_two_seconds(service: OrderService) {
    pending_order(&service).await;
    service.backends.state().inventory = Mood::Silent;
    let other = service.another_copy().await;
    let dying = tokio::spawn(async move { other.retry().await });
    let asked = async || service.backends.asked(INVENTORY_RESERVE).len() > 1;
    testkit::eventually("the other copy waits for inventory", asked).await;
    dying.abort();
    service.backends.state().inventory = Mood::Answers;
    // SQLite's time is the test's; PostgreSQL's goes on by itself.
    service.clock.advance(Duration::from_secs(2));
    let tried = async || service.retrying().tick().await.unwrap() == Retried::Orders(1);
    testkit::eventually("the order is tried again", tried).await;
    assert_eq!(service.in_stock("MUG"), 98);
}

async fn what_a_copy_waits_for_is_not_tried_by_another(service: OrderService) {
    pending_order(&service).await;
    service.backends.state().inventory = Mood::Silent;
    let (waiting, clock) = (service.another_copy().await, service.clock.clone());
    let waiting = tokio::spawn(async move { waiting.retry().await });
    let asked = async || service.backends.asked(INVENTORY_RESERVE).len() > 1;
    testkit::eventually("the other copy waits for inventory", asked).await;
    let claimed_until = async || {
        let statement = "SELECT MAX(next_try_at) AS until FROM orders";
        let database = &service.context.database;
        let statement = sea_orm::Statement::from_string(database.backend(), statement);
        let row = database.read().query_one_raw(statement).await.unwrap().unwrap();
        row.try_get::<chrono::DateTime<chrono::Utc>>("", "until").unwrap()
    };
    for _ in 0..3 {
        let before = claimed_until().await;
        clock.advance(Duration::from_secs(1));
        testkit::eventually("the claim is renewed", async || claimed_until().await > before).await;
        assert_eq!(service.retrying().tick().await.unwrap(), Retried::Nothing);
    }
    waiting.abort();
}

async fn while_a_service_is_away_that_is_said(service: OrderService) {
    pending_order(&service).await;
    service.place(placement("CUST02", &[("MUG", 1)])).await.unwrap();
    service.backends.state().customers = Mood::Away;
    assert_eq!(service.retry().await, Retried::Unavailable);
}

async fn what_waits_for_a_service_is_tried_as_soon_as_it_is_back(service: OrderService) {
    service.backends.state().inventory = Mood::Away;
    for _ in 0..30 {
        service.order(&[("MUG", 1)]).await;
    }
    let retrying = service.retrying();
    assert_eq!(retrying.tick().await.unwrap(), Retried::Unavailable);
    let writer = service.context.database.write();
    writer.execute_unprepared("UPDATE orders SET next_try_at = pending_since").await.unwrap();
    let due = "orders WHERE status = 'PENDING' AND next_try_at = pending_since";

    for _ in 0..3 {
        assert_eq!(retrying.tick().await.unwrap(), Retried::Unavailable);
    }
    assert_eq!(service.count(due).await, 15, "a few at a time find out, and the others are not put off");

    service.backends.state().inventory = Mood::Answers;
    assert_eq!(retrying.tick().await.unwrap(), Retried::Orders(5));
    assert!(matches!(retrying.tick().await.unwrap(), Retried::Orders(10..)), "all the others at once");
    assert_eq!(service.count(due).await, 0);
}
