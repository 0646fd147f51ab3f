use bus::consumer::{Disposition, Job, MessageHandler};
use bus::envelope::Envelope;
use bus::events::event_message;
use bus::failure::FailureCode;
use bus::message::Message;
use schema::inventory_messages::ReservationState::{Deducted, Held, Released};
use schema::inventory_messages::Reserved;
use schema::order::OrderStatus::{Cancelled, Delivered, Pending, Processing, Rejected, Shipped};
use uuid::Uuid;

use crate::kit::{deleted, event, fresh_order, on_each_database, reserve, work};

const ITEMS: &[(&str, u32)] = &[("MUG", 2), ("TRAY", 1)];

#[tokio::test]
async fn stock_follows_each_order_to_where_its_life_ends() {
    on_each_database(async |service| {
        service.stock("MUG", 100).await;
        service.stock("TRAY", 100).await;
        let orders = [fresh_order(), fresh_order(), fresh_order(), fresh_order()];
        for order in orders {
            assert!(matches!(service.reserve(reserve(order, 1, ITEMS)).await, Reserved::Reserved { .. }));
        }
        let [kept, delivered, cancelled, removed] = orders;
        // The newest first, so that what comes later is old states.
        service.tell(&[event(delivered, 3, Delivered, ITEMS), event(cancelled, 2, Cancelled, ITEMS)]).await;
        service.tell(&orders.map(|order| event(order, 1, Processing, ITEMS))).await;
        service.tell(&[event(delivered, 2, Shipped, ITEMS), deleted(removed, 2, Processing, ITEMS)]).await;

        let audited = service.audit().await;
        let states: Vec<_> =
            audited.reservations.iter().map(|row| (row.order_id, row.state, row.version)).collect();
        assert_eq!(
            states,
            [(kept, Held, 1), (delivered, Deducted, 3), (cancelled, Released, 2), (removed, Released, 2)]
        );
        assert_eq!((service.available("MUG").await, service.available("TRAY").await), (96, 98));
        service.assert_ledger_adds_up().await;

        service.tell(&[deleted(delivered, 4, Delivered, ITEMS), event(kept, 2, Shipped, ITEMS)]).await;
        assert_eq!((service.available("MUG").await, service.available("TRAY").await), (96, 98));
        service.assert_ledger_adds_up().await;
    })
    .await;
}

#[tokio::test]
async fn an_order_that_was_rejected_or_cancelled_first_can_hold_nothing_later() {
    on_each_database(async |service| {
        service.stock("MUG", 10).await;
        service.stock("TRAY", 10).await;
        let (rejected, cancelled) = (fresh_order(), fresh_order());
        service.tell(&[event(rejected, 1, Rejected, ITEMS), event(cancelled, 1, Pending, ITEMS)]).await;
        service.tell(&[event(cancelled, 2, Cancelled, ITEMS)]).await;
        for order in [rejected, cancelled] {
            assert_eq!(service.reserve(reserve(order, 1, ITEMS)).await, Reserved::Closed);
        }
        assert_eq!(service.available("MUG").await, 10);
        service.assert_ledger_adds_up().await;
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_read_is_dead_and_its_neighbours_are_done() {
    on_each_database(async |service| {
        service.stock("MUG", 10).await;
        service.stock("TRAY", 10).await;
        let order = fresh_order();
        service.reserve(reserve(order, 1, ITEMS)).await;
        let good = work(&event(order, 1, Cancelled, ITEMS));
        let body = br#"{"pattern": "order.created", "data": {"orderId": 7}}"#;
        let bad = Job {
            envelope: Envelope::read(body).unwrap(),
            message: Message { body: body.to_vec().into(), ..Message::default() },
        };
        let (_, message) = event_message(Uuid::now_v7(), &event(order, 1, Cancelled, ITEMS), None);
        let dispositions = service.inventory.handle(&[good.clone(), bad, Job { message, ..good }]).await;
        assert!(matches!(&dispositions[0], Disposition::Done(None)));
        assert!(
            matches!(&dispositions[1], Disposition::Dead(failure) if failure.code == FailureCode::Undecodable)
        );
        assert!(matches!(&dispositions[2], Disposition::Done(None)));
        assert_eq!(service.available("MUG").await, 10);
    })
    .await;
}

#[tokio::test]
async fn with_the_database_away_events_are_held_and_no_attempt_is_counted() {
    on_each_database(async |service| {
        service.inventory.database.clone().close().await;
        let dispositions = service.inventory.handle(&[work(&event(fresh_order(), 1, Rejected, ITEMS))]).await;
        assert!(matches!(&dispositions[..], [Disposition::RetryInPlace(_)]), "{dispositions:?}");
    })
    .await;
}
