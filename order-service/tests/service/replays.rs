use schema::cursor::UpdateCursor;
use schema::domain_error::DomainErrorCode;
use schema::ids::OrderId;
use schema::order_events::EventKind;
use schema::order_messages::{OrderScope, Replay, ReplayFrom};
use sea_orm::ConnectionTrait as _;
use uuid::Uuid;

use crate::kit::{OrderService, address, owner, placement};
use crate::on_both_databases;

on_both_databases!(
    positions_have_no_holes_and_replay_goes_on_from_any_of_them,
    a_replay_without_a_point_says_where_the_head_is,
    a_cursor_names_the_point_just_past_its_version,
    the_cursor_of_an_order_still_to_come_misses_nothing,
    a_cursor_of_nothing_within_reach_is_invalid,
    a_cursor_from_before_what_is_kept_has_expired,
    a_replay_can_be_of_one_customer_or_one_order,
    every_event_carries_the_order_as_it_was,
);

fn after(after: ReplayFrom) -> Replay {
    Replay { owner: OrderScope::Any, order_id: None, after: Some(after), limit: 100 }
}

fn cursor(order_id: OrderId, version: u32) -> ReplayFrom {
    ReplayFrom::Cursor(UpdateCursor { order_id, version }.encode())
}

async fn positions_have_no_holes_and_replay_goes_on_from_any_of_them(service: OrderService) {
    for _ in 0..4 {
        let id = service.order(&[("MUG", 1)]).await.id;
        service.cancel(id).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut from = 0;
    loop {
        let page = service.replay(&Replay { limit: 3, ..after(ReplayFrom::Position(from)) }).await.unwrap();
        seen.extend(page.events.iter().map(|event| event.position));
        from = page.next;
        assert_eq!(page.head, 8);
        if page.next == page.head {
            break;
        }
    }
    assert_eq!(seen, (1..=8).collect::<Vec<i64>>());
    let beyond = service.replay(&after(ReplayFrom::Position(99))).await.unwrap();
    assert_eq!((beyond.events, beyond.next, beyond.head), (vec![], 8, 8));
}

async fn a_replay_without_a_point_says_where_the_head_is(service: OrderService) {
    let nothing = Replay { owner: OrderScope::Any, order_id: None, after: None, limit: 100 };
    let before = service.replay(&nothing).await.unwrap();
    assert_eq!((before.next, before.head), (0, 0));
    service.order(&[("MUG", 1)]).await;
    let behind = service.replay(&nothing).await.unwrap();
    assert_eq!((behind.events, behind.next, behind.head), (vec![], 1, 1));
}

async fn a_cursor_names_the_point_just_past_its_version(service: OrderService) {
    service.order(&[("TRAY", 1)]).await;
    let id = service.order(&[("MUG", 1)]).await.id;
    service.update(id, address("2 Hill Road")).await.unwrap();
    service.cancel(id).await.unwrap();
    for (version, expected) in [(0, vec![1, 2, 3]), (1, vec![2, 3]), (2, vec![3]), (3, vec![])] {
        let page = service.replay(&after(cursor(id, version))).await.unwrap();
        let versions: Vec<u32> = page.events.iter().map(|event| event.version).collect();
        assert_eq!(versions, expected, "after version {version}");
    }
}

async fn the_cursor_of_an_order_still_to_come_misses_nothing(service: OrderService) {
    service.order(&[("TRAY", 1)]).await;
    let placement = placement("CUST01", &[("MUG", 1)]);
    let point = after(cursor(placement.order_id, 0));
    service.settle(placement.order_id, 1).await;
    let before = service.replay(&point).await.unwrap();
    assert_eq!((before.events.len(), before.next, before.head), (0, 1, 1));
    let order_id = placement.order_id;
    service.place(placement).await.unwrap();
    let since = service.replay(&after(ReplayFrom::Position(before.next))).await.unwrap();
    assert_eq!(since.events.iter().map(|event| event.order_id).collect::<Vec<_>>(), [order_id]);
    assert_eq!(service.replay(&point).await.unwrap().events, since.events);
}

async fn a_cursor_of_nothing_within_reach_is_invalid(service: OrderService) {
    let id = service.order(&[("MUG", 1)]).await.id;
    let missing = OrderId(Uuid::now_v7());
    let garbage = ReplayFrom::Cursor("garbage".to_owned());
    for (point, reach) in [
        (garbage, OrderScope::Any),
        (cursor(id, 2), OrderScope::Any),
        (cursor(id, u32::MAX), OrderScope::Any),
        (cursor(missing, 1), OrderScope::Any),
        (cursor(id, 1), owner("CUST02")),
        (cursor(id, 0), owner("CUST02")),
    ] {
        let refusal = service.replay(&Replay { owner: reach, ..after(point.clone()) }).await.unwrap_err();
        assert_eq!(refusal.code, DomainErrorCode::CursorInvalid, "{point:?}");
    }
}

async fn a_cursor_from_before_what_is_kept_has_expired(service: OrderService) {
    let id = service.order(&[("MUG", 1)]).await.id;
    service.cancel(id).await.unwrap();
    service.order(&[("MUG", 1)]).await;
    service.replay(&after(ReplayFrom::Position(0))).await.unwrap();
    let writer = service.context.database.write();
    writer.execute_unprepared("UPDATE order_event_counter SET pruned_through = 2").await.unwrap();
    for point in [ReplayFrom::Position(0), ReplayFrom::Position(1), cursor(id, 0), cursor(id, 1)] {
        let refusal = service.replay(&after(point.clone())).await.unwrap_err();
        assert_eq!(refusal.code, DomainErrorCode::CursorExpired, "{point:?}");
    }
    assert_eq!(service.replay(&after(cursor(id, 2))).await.unwrap().events.len(), 1);
    writer.execute_unprepared("DELETE FROM order_events WHERE position <= 2").await.unwrap();
    let refusal = service.replay(&after(cursor(id, 1))).await.unwrap_err();
    assert_eq!(refusal.code, DomainErrorCode::CursorExpired);
}

async fn a_replay_can_be_of_one_customer_or_one_order(service: OrderService) {
    let mine = service.order(&[("MUG", 1)]).await.id;
    let theirs = service.place(placement("CUST02", &[("MUG", 1)])).await.unwrap().order.unwrap().id;
    service.cancel(mine).await.unwrap();
    let of_customer = Replay { owner: owner("CUST02"), ..after(ReplayFrom::Position(0)) };
    let page = service.replay(&of_customer).await.unwrap();
    assert_eq!(page.events.iter().map(|event| event.order_id).collect::<Vec<_>>(), [theirs]);
    assert_eq!(page.next, 3, "what was scanned without a match is done with too");
    let of_order = Replay { order_id: Some(mine), ..after(ReplayFrom::Position(0)) };
    let kinds: Vec<_> =
        service.replay(&of_order).await.unwrap().events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Created, EventKind::StatusChanged]);
    let foreign = Replay { owner: owner("CUST02"), order_id: Some(mine), ..after(ReplayFrom::Position(0)) };
    assert_eq!(service.replay(&foreign).await.unwrap().events, []);
}

async fn every_event_carries_the_order_as_it_was(service: OrderService) {
    let placed = service.order(&[("MUG", 1), ("TRAY", 2)]).await;
    let changed = service.update(placed.id, address("2 Hill Road")).await.unwrap();
    let deleted = service.delete(placed.id).await.unwrap();
    let page = service.replay(&after(ReplayFrom::Position(0))).await.unwrap();
    let orders: Vec<_> = page.events.iter().map(|event| event.order.clone()).collect();
    assert_eq!(orders, [placed, changed, deleted]);
    assert_eq!(page.events.last().unwrap().kind, EventKind::Deleted);
}
