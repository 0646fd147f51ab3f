use schema::domain_error::DomainResult;
use schema::ids::OrderId;
use schema::order::OrderStatus;
use schema::order_messages::{ListOrders, OrderFilter, OrderPage, OrderScope, Settled};
use schema::page::Page;
use schema::pattern::ORDER_LIST;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use store::failpoint::{Failpoint, Failpoints};
use uuid::Uuid;

use crate::kit::{OrderService, answer_of, keyed, placement};
use crate::on_both_databases;

on_both_databases!(
    a_stored_order_is_settled_as_it_stands,
    an_absent_order_is_fenced_and_void,
    a_fence_is_no_order_to_anybody,
    a_placing_that_stalled_past_its_fence_reserves_again,
    an_order_placed_while_it_is_being_fenced_is_settled_one_way,
    a_reservation_that_is_closed_makes_the_row_be_read_again,
);

async fn a_stored_order_is_settled_as_it_stands(service: OrderService) {
    let id = service.order(&[("MUG", 2)]).await.id;
    let settled = |status, version, deleted| Settled::Order { status, version, deleted };
    assert_eq!(service.settle(id, 1).await, settled(OrderStatus::Processing, 1, false));
    service.cancel(id).await.unwrap();
    assert_eq!(service.settle(id, 1).await, settled(OrderStatus::Cancelled, 2, false));
    service.delete(id).await.unwrap();
    assert_eq!(service.settle(id, 1).await, settled(OrderStatus::Cancelled, 3, true));
}

async fn an_absent_order_is_fenced_and_void(service: OrderService) {
    let id = OrderId(Uuid::now_v7());
    for attempt in [1, 1, 3, 2] {
        assert_eq!(service.settle(id, attempt).await, Settled::Void);
    }
    assert_eq!(service.count("orders WHERE fenced AND attempt = 3").await, 1);
}

async fn a_fence_is_no_order_to_anybody(service: OrderService) {
    let id = OrderId(Uuid::now_v7());
    service.settle(id, 1).await;
    assert_eq!(service.get(id).await, None);
    assert_eq!(service.history(id).await, []);
    assert!(service.cancel(id).await.is_err());
    let question =
        ListOrders { owner: OrderScope::Any, filter: OrderFilter::default(), page: Page::default() };
    let page: DomainResult<OrderPage> = service.ask_one(ORDER_LIST, &question).await;
    assert_eq!(page.into_result().unwrap().orders, []);
    assert_eq!(service.retry().await, order_service::pending::Retried::Nothing);
}

/// While a copy is stopped between reserving and storing, inventory-service settles the hold and is answered `void`.
async fn a_placing_that_stalled_past_its_fence_reserves_again(mut service: OrderService) {
    let settling = service.another_copy().await;
    let placement = keyed("k1", &[("MUG", 2)]);
    let order_id = placement.order_id;
    let stalled = Arc::new(AtomicBool::new(false));
    let settling = Arc::new(settling);
    service.context.failpoints = Failpoints::new(move |failpoint| {
        let settling = settling.clone();
        let first = failpoint == Failpoint::AfterReserveBeforeCommit && !stalled.swap(true, Ordering::SeqCst);
        Box::pin(async move {
            if first {
                assert_eq!(settling.settle(order_id, 1).await, Settled::Void);
                settling.backends.state().release(order_id);
                settling.backends.state().closed.insert(order_id, 1);
            }
        })
    });
    let placed = service.place(placement).await.unwrap();
    let order = placed.order.unwrap();
    assert_eq!((order.status, order.version, placed.replayed), (OrderStatus::Processing, 1, false));
    assert_eq!(service.get(order_id).await, Some(order));
    assert_eq!(service.backends.state().holds[&order_id].attempt, 2);
    assert_eq!(service.in_stock("MUG"), 98);
    assert_eq!(service.count("orders WHERE NOT fenced AND attempt = 2").await, 1);
    assert_eq!(service.count("order_events").await, 1);
}

async fn an_order_placed_while_it_is_being_fenced_is_settled_one_way(service: OrderService) {
    let other = service.another_copy().await;
    for n in 0..10 {
        let placement = keyed(&format!("k{n}"), &[("MUG", 1)]);
        let order_id = placement.order_id;
        let (placed, settled) = tokio::join!(service.place(placement), other.settle(order_id, 1));
        let order = placed.unwrap().order.unwrap();
        assert_eq!(order.status, OrderStatus::Processing);
        let attempt = service.backends.state().holds[&order_id].attempt;
        assert!(settled != Settled::Void || attempt == 2, "what was void is not what is kept");
        let row = format!("orders WHERE idempotency_key = 'k{n}' AND NOT fenced AND attempt = {attempt}");
        assert_eq!(service.count(&row).await, 1, "the order stands by the attempt that stock is held under");
    }
}

async fn a_reservation_that_is_closed_makes_the_row_be_read_again(service: OrderService) {
    let placement = placement("CUST01", &[("MUG", 2)]);
    service.settle(placement.order_id, 4).await;
    service.backends.state().closed.insert(placement.order_id, 4);
    let sent = service.command(placement);
    for _ in 0..2 {
        let placed = answer_of(service.deliver(std::slice::from_ref(&sent)).await.remove(0)).unwrap();
        assert_eq!(placed.order.unwrap().status, OrderStatus::Processing);
    }
    assert_eq!(service.count("orders WHERE attempt = 5").await, 1);
}
