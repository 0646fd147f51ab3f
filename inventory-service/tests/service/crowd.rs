use futures::future::join_all;
use inventory_service::stock::ReportedState;
use schema::inventory_messages::{Reserve, Reserved};
use schema::order::OrderStatus::{Cancelled, Processing, Shipped};

use crate::kit::{InventoryService, event, fresh_order, on_each_database, reserve};

/// Repeats a request until there is an answer, as order-service does when the database is busy.
async fn reserve_until_answered(service: &InventoryService, request: Reserve) -> Reserved {
    let answer = testkit::eventually("inventory answers", async || {
        match service.inventory.reserve(std::slice::from_ref(&request)).await {
            Ok(mut answers) => Some(answers.remove(0)),
            Err(error) => {
                assert!(error.is_transient(), "{error}");
                None
            }
        }
    });
    answer.await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_200_buyers_at_once_exactly_as_many_get_a_unit_as_there_are() {
    on_each_database(async |service| {
        service.stock("MUG", 50).await;
        let service = &service;
        let buyers = (0..200).map(|_| async move {
            let request = reserve(fresh_order(), 1, &[("MUG", 1)]);
            let first = reserve_until_answered(service, request.clone()).await;
            let second = reserve_until_answered(service, request).await;
            let got = matches!(first, Reserved::Reserved { .. });
            assert_eq!(got, matches!(second, Reserved::Reserved { .. }), "{first:?}, then {second:?}");
            got
        });
        let got = join_all(buyers).await.into_iter().filter(|got| *got).count();
        assert_eq!(got, 50);
        assert_eq!(service.available("MUG").await, 0);
        service.assert_ledger_adds_up().await;
    })
    .await;
}

/// Orders of several products, in every sequence, reserved, confirmed, shipped and cancelled at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_that_overlap_neither_deadlock_nor_lose_a_unit() {
    on_each_database(async |service| {
        let products = ["A", "B", "C", "D"];
        for id in products {
            service.stock(id, 1_000).await;
        }
        let service = &service;
        let orders = (0..40).map(|n: usize| async move {
            let items: Vec<(&str, u32)> = (0..3).map(|k| (products[(n * 3 + 4 - k) % 4], 2)).collect();
            let order = fresh_order();
            let end = if n.is_multiple_of(2) { Shipped } else { Cancelled };
            let events = [event(order, 1, Processing, &items), event(order, 2, end, &items)];
            let states: Vec<ReportedState> = events.iter().map(Into::into).collect();
            let reserving = reserve_until_answered(service, reserve(order, 1, &items));
            let following = testkit::eventually("events are applied", async || {
                service.inventory.reconcile(&states).await
            });
            let (reserved, _) = tokio::join!(reserving, following);
            assert!(matches!(reserved, Reserved::Reserved { .. } | Reserved::Closed), "{reserved:?}");
        });
        join_all(orders).await;
        let mut left = 0;
        for id in products {
            left += service.available(id).await;
        }
        assert_eq!(left, 4_000 - 20 * 6);
        service.assert_ledger_adds_up().await;
    })
    .await;
}
