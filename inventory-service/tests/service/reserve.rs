use bus::envelope::Envelope;
use bus::failure::FailureCode;
use bus::rpc_server::{Request, RequestHandler};
use schema::inventory_messages::{Reserve, Reserved};
use schema::order::OrderStatus::{Cancelled, Processing};
use schema::pattern::INVENTORY_RESERVE;

use crate::kit::{event, fresh_order, on_each_database, product, reserve};

#[tokio::test]
async fn a_batch_is_decided_order_by_order() {
    on_each_database(async |service| {
        service.stock("MUG", 6).await;
        service.stock("TRAY", 1).await;
        let orders: [Reserve; 5] = [
            reserve(fresh_order(), 1, &[("MUG", 3), ("TRAY", 1)]),
            reserve(fresh_order(), 1, &[("MUG", 1), ("TRAY", 1)]),
            reserve(fresh_order(), 1, &[("MUG", 2)]),
            reserve(fresh_order(), 1, &[("SPOON", 1), ("MUG", 1)]),
            reserve(fresh_order(), 1, &[("MUG", 2)]),
        ];
        let answers: Vec<Reserved> = service.ask(INVENTORY_RESERVE, &orders).await;
        let Reserved::Reserved { items } = &answers[0] else { panic!("{answers:?}") };
        let priced: Vec<_> = items.iter().map(|item| (item.product_id.as_str(), item.quantity)).collect();
        assert_eq!(priced, [("MUG", 3), ("TRAY", 1)]);
        assert_eq!((items[0].name.as_str(), items[0].unit_price.amount_minor), ("MUG", 1450));
        let Reserved::OutOfStock { shortfalls, .. } = &answers[1] else { panic!("{answers:?}") };
        assert_eq!((&shortfalls[0].product_id, shortfalls[0].available), (&product("TRAY"), 0));
        assert!(matches!(&answers[2], Reserved::Reserved { .. }));
        assert_eq!(answers[3], Reserved::UnknownProducts { product_ids: vec![product("SPOON")] });
        assert!(matches!(&answers[4], Reserved::OutOfStock { .. }));
        assert_eq!((service.available("MUG").await, service.available("TRAY").await), (1, 0));
        let held: Vec<_> = service.audit().await.reservations.into_iter().map(|row| row.order_id).collect();
        assert_eq!(held, [orders[0].order_id, orders[2].order_id], "a refusal leaves no row");
        service.assert_ledger_adds_up().await;
    })
    .await;
}

#[tokio::test]
async fn one_order_is_held_once_whatever_comes_again_or_too_late() {
    on_each_database(async |service| {
        service.stock("MUG", 10).await;
        let order = fresh_order();
        assert!(matches!(service.reserve(reserve(order, 2, &[("MUG", 4)])).await, Reserved::Reserved { .. }));
        let other_input = Reserve { fingerprint: "b3:g".to_owned(), ..reserve(order, 2, &[("MUG", 1)]) };
        assert_eq!(service.reserve(other_input).await, Reserved::Conflict);
        assert_eq!(service.reserve(reserve(order, 1, &[("MUG", 4)])).await, Reserved::Closed);
        let again = service.reserve(reserve(order, 3, &[("MUG", 10)])).await;
        assert!(matches!(again, Reserved::Reserved { .. }), "it supersedes what it held itself: {again:?}");
        assert_eq!(service.reserve(reserve(order, 2, &[("MUG", 4)])).await, Reserved::Closed);
        assert_eq!(service.available("MUG").await, 0);
        service.assert_ledger_adds_up().await;

        service.tell(&[event(order, 1, Processing, &[("MUG", 10)])]).await;
        assert_eq!(service.reserve(reserve(order, 4, &[("MUG", 1)])).await, Reserved::Closed);
        service.tell(&[event(order, 2, Cancelled, &[("MUG", 10)])]).await;
        assert_eq!(service.reserve(reserve(order, 5, &[("MUG", 1)])).await, Reserved::Closed);
        assert_eq!(service.available("MUG").await, 10);
        service.assert_ledger_adds_up().await;
    })
    .await;
}

#[tokio::test]
async fn an_order_that_was_refused_may_ask_again() {
    on_each_database(async |service| {
        service.stock("MUG", 1).await;
        let order = fresh_order();
        let refused = service.reserve(reserve(order, 1, &[("MUG", 2)])).await;
        assert!(matches!(refused, Reserved::OutOfStock { .. }));
        service.receive("MUG", 1).await;
        assert!(matches!(service.reserve(reserve(order, 1, &[("MUG", 2)])).await, Reserved::Reserved { .. }));
        service.assert_ledger_adds_up().await;
    })
    .await;
}

#[tokio::test]
async fn a_request_that_makes_no_sense_is_refused_whole() {
    on_each_database(async |service| {
        service.stock("MUG", 5).await;
        let items: [&[(&str, u32)]; 4] = [&[], &[("MUG", 0)], &[("MUG", 10_001)], &[("MUG", 1), ("MUG", 1)]];
        for items in items {
            let requests = [reserve(fresh_order(), 1, &[("MUG", 1)]), reserve(fresh_order(), 1, items)];
            let data = serde_json::value::to_raw_value(&requests).unwrap();
            let envelope = Envelope { pattern: INVENTORY_RESERVE.to_owned(), data, id: None };
            let deadline = bus::clock::Deadline::after(testkit::WAIT_LIMIT);
            let failure =
                RequestHandler::handle(&service.inventory, Request { envelope, deadline }).await.unwrap_err();
            assert_eq!(failure.code, FailureCode::BadRequest, "{items:?}");
        }
        assert_eq!(service.available("MUG").await, 5);
    })
    .await;
}
