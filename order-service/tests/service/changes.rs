use std::time::Duration;

use schema::domain_error::DomainErrorCode;
use schema::order::OrderStatus;
use schema::order_events::EventKind;
use schema::order_messages::{Change, Changes, OrderScope};
use schema::pattern::{ORDER_CANCEL, ORDER_DELETE, ORDER_GET, ORDER_UPDATE};

use crate::backends::Mood;
use crate::kit::{OrderService, address, change_of, owner, placement, request_to, shipped};
use crate::on_both_databases;

on_both_databases!(
    an_order_goes_through_its_life_one_version_at_a_time,
    a_repeated_request_answers_the_first_result,
    a_repeated_deletion_answers_the_deleted_order,
    a_stale_version_is_refused,
    concurrent_changes_never_overwrite_one_another,
    an_input_that_changes_nothing_answers_the_order_as_it_is,
    no_customer_reaches_another_customers_order,
    a_deleted_order_is_beyond_reach,
    a_request_without_owner_or_with_too_many_items_is_refused,
    a_request_id_of_another_order_is_refused,
    a_refused_request_stays_refused_whatever_becomes_of_the_order,
    a_request_about_an_order_that_was_not_there_stays_refused_when_it_is,
    a_request_that_asked_for_nothing_new_changes_nothing_later_either,
    copies_of_a_request_that_overtake_the_order_agree,
    no_time_makes_a_request_forgotten,
    the_latest_hundred_answers_of_an_order_that_changed_nothing_are_kept,
    of_orders_that_do_not_exist_the_latest_hundred_answers_of_a_bucket_are_kept,
);

async fn an_order_goes_through_its_life_one_version_at_a_time(service: OrderService) {
    let id = service.order(&[("MUG", 2)]).await.id;
    assert_eq!(service.update(id, address("2 Hill Road")).await.unwrap().version, 2);
    assert_eq!(service.update(id, shipped()).await.unwrap().status, OrderStatus::Shipped);
    let refusal = service.cancel(id).await.unwrap_err();
    assert_eq!(refusal.code, DomainErrorCode::InvalidTransition);
    assert_eq!(service.delete(id).await.unwrap_err().code, DomainErrorCode::InvalidTransition);
    let delivered = Changes { status: Some(OrderStatus::Delivered), ..Changes::default() };
    let last = service.update(id, delivered).await.unwrap();
    assert_eq!(service.get(id).await, Some(last));
    let steps: Vec<_> = service
        .history(id)
        .await
        .into_iter()
        .map(|entry| (entry.version, entry.kind, entry.previous_status, entry.status))
        .collect();
    use OrderStatus::{Delivered, Processing, Shipped};
    assert_eq!(
        steps,
        [
            (1, EventKind::Created, None, Processing),
            (2, EventKind::DetailsChanged, None, Processing),
            (3, EventKind::StatusChanged, Some(Processing), Shipped),
            (4, EventKind::StatusChanged, Some(Shipped), Delivered),
        ]
    );
}

async fn a_repeated_request_answers_the_first_result(service: OrderService) {
    let id = service.order(&[("MUG", 2)]).await.id;
    let change = change_of(id, address("2 Hill Road"));
    let first = service.change(ORDER_UPDATE, &change).await.unwrap();
    let cancelled = service.cancel(id).await.unwrap();
    assert_eq!(service.change(ORDER_UPDATE, &change).await.unwrap(), first);
    assert_eq!(service.get(id).await, Some(cancelled), "the repeat changed nothing");
    service.delete(id).await.unwrap();
    assert_eq!(service.change(ORDER_UPDATE, &change).await.unwrap(), first);
}

async fn a_repeated_deletion_answers_the_deleted_order(service: OrderService) {
    let order = service.order(&[("MUG", 2)]).await;
    let change = change_of(order.id, Changes::default());
    let deleted = service.change(ORDER_DELETE, &change).await.unwrap();
    assert_eq!((deleted.status, deleted.version), (OrderStatus::Processing, 2));
    assert_eq!(service.change(ORDER_DELETE, &change).await.unwrap(), deleted);
    assert_eq!(service.delete(order.id).await.unwrap_err().code, DomainErrorCode::OrderNotFound);
    let stranger = Change { owner: owner("CUST02"), ..change };
    assert_eq!(
        service.change(ORDER_DELETE, &stranger).await.unwrap_err().code,
        DomainErrorCode::OrderNotFound
    );
}

async fn a_stale_version_is_refused(service: OrderService) {
    let id = service.order(&[("MUG", 2)]).await.id;
    let expecting = |expected_version| Change {
        expected_version: Some(expected_version),
        ..change_of(id, address(&format!("{expected_version} Hill Road")))
    };
    assert_eq!(service.change(ORDER_UPDATE, &expecting(1)).await.unwrap().version, 2);
    let refusal = service.change(ORDER_UPDATE, &expecting(3)).await.unwrap_err();
    assert_eq!(refusal.code, DomainErrorCode::VersionConflict);
    assert_eq!(
        service.change(ORDER_CANCEL, &expecting(1)).await.unwrap_err().code,
        DomainErrorCode::VersionConflict
    );
}

async fn concurrent_changes_never_overwrite_one_another(service: OrderService) {
    let id = service.order(&[("MUG", 2)]).await.id;
    let other = service.another_copy().await;
    let updates = (0..20).map(|n| {
        let service = if n % 2 == 0 { &service } else { &other };
        async move { service.update(id, address(&format!("{n} Hill Road"))).await.unwrap() }
    });
    let mut versions: Vec<u32> =
        futures::future::join_all(updates).await.into_iter().map(|order| order.version).collect();
    versions.sort_unstable();
    assert_eq!(versions, (2..=21).collect::<Vec<_>>());
    let history: Vec<u32> = service.history(id).await.into_iter().map(|entry| entry.version).collect();
    assert_eq!(history, (1..=21).collect::<Vec<_>>());
}

async fn an_input_that_changes_nothing_answers_the_order_as_it_is(service: OrderService) {
    let order = service.order(&[("MUG", 2)]).await;
    let same = Changes { shipping_address: order.shipping_address.clone(), ..Changes::default() };
    assert_eq!(service.update(order.id, same).await.unwrap(), order);
    let cancelled = service.cancel(order.id).await.unwrap();
    assert_eq!(service.cancel(order.id).await.unwrap(), cancelled);
    assert_eq!(service.history(order.id).await.len(), 2);
}

async fn no_customer_reaches_another_customers_order(service: OrderService) {
    let id = service.order(&[("MUG", 2)]).await.id;
    for pattern in [ORDER_UPDATE, ORDER_CANCEL, ORDER_DELETE] {
        let change = Change { owner: owner("CUST02"), ..change_of(id, address("2 Hill Road")) };
        assert_eq!(service.change(pattern, &change).await.unwrap_err().code, DomainErrorCode::OrderNotFound);
    }
    assert_eq!(service.get(id).await.unwrap().version, 1);
}

async fn a_deleted_order_is_beyond_reach(service: OrderService) {
    let id = service.order(&[("MUG", 2)]).await.id;
    service.delete(id).await.unwrap();
    assert_eq!(service.get(id).await, None);
    assert_eq!(service.history(id).await, []);
    assert_eq!(
        service.update(id, address("2 Hill Road")).await.unwrap_err().code,
        DomainErrorCode::OrderNotFound
    );
}

async fn a_request_without_owner_or_with_too_many_items_is_refused(service: OrderService) {
    let nameless = serde_json::json!({ "orderId": placement("CUST01", &[]).order_id });
    let failure = service.request::<_, serde_json::Value>(ORDER_GET, &[nameless]).await.unwrap_err();
    assert_eq!(failure.code.as_str(), "UNDECODABLE");
    let many = vec![serde_json::json!({ "orderId": placement("CUST01", &[]).order_id, "owner": "any" }); 501];
    let failure = service.request::<_, serde_json::Value>(ORDER_GET, &many).await.unwrap_err();
    assert_eq!(failure.code.as_str(), "BAD_REQUEST");
    let failure = request_to::<(), ()>(&service.context, "order.frobnicate", &[]).await.unwrap_err();
    assert_eq!(failure.code.as_str(), "NO_HANDLER");
}

async fn a_request_id_of_another_order_is_refused(service: OrderService) {
    let (first, second) = (service.order(&[("MUG", 1)]).await.id, service.order(&[("MUG", 1)]).await.id);
    let change = change_of(first, address("2 Hill Road"));
    service.change(ORDER_UPDATE, &change).await.unwrap();
    let other = Change { order_id: second, owner: OrderScope::Any, ..change };
    assert_eq!(service.change(ORDER_UPDATE, &other).await.unwrap_err().code, DomainErrorCode::InvalidInput);
}

async fn a_refused_request_stays_refused_whatever_becomes_of_the_order(service: OrderService) {
    service.backends.state().inventory = Mood::Away;
    let id = service.order(&[("MUG", 2)]).await.id;
    let hasty = change_of(id, shipped());
    let refusal = service.change(ORDER_UPDATE, &hasty).await.unwrap_err();
    assert_eq!(refusal.code, DomainErrorCode::InvalidTransition);
    service.backends.state().inventory = Mood::Answers;
    let order = service.retry_until_settled(id).await;
    assert_eq!(order.status, OrderStatus::Processing);
    assert_eq!(service.another_copy().await.change(ORDER_UPDATE, &hasty).await.unwrap_err(), refusal);
    assert_eq!(service.get(id).await, Some(order));
    assert_eq!(service.update(id, shipped()).await.unwrap().version, 3, "another request is judged anew");
}

async fn a_request_about_an_order_that_was_not_there_stays_refused_when_it_is(service: OrderService) {
    let placement = placement("CUST01", &[("MUG", 2)]);
    let id = placement.order_id;
    let early = change_of(id, Changes::default());
    let refusal = service.change(ORDER_CANCEL, &early).await.unwrap_err();
    assert_eq!(refusal.code, DomainErrorCode::OrderNotFound);
    let order = service.place(placement).await.unwrap().order.unwrap();
    assert_eq!(service.change(ORDER_CANCEL, &early).await.unwrap_err(), refusal);
    assert_eq!(service.get(id).await, Some(order));
}

async fn a_request_that_asked_for_nothing_new_changes_nothing_later_either(service: OrderService) {
    let order = service.order(&[("MUG", 2)]).await;
    let same = Changes { shipping_address: order.shipping_address.clone(), ..Changes::default() };
    let same = change_of(order.id, same);
    assert_eq!(service.change(ORDER_UPDATE, &same).await.unwrap(), order);
    let moved = service.update(order.id, address("2 Hill Road")).await.unwrap();
    assert_eq!(service.change(ORDER_UPDATE, &same).await.unwrap(), order);
    assert_eq!(service.get(order.id).await, Some(moved));
}

/// Copies of one request race with the order that they are about: all of them get the same response.
async fn copies_of_a_request_that_overtake_the_order_agree(service: OrderService) {
    let other = service.another_copy().await;
    for _ in 0..20 {
        let placement = placement("CUST01", &[("MUG", 1)]);
        let id = placement.order_id;
        let early = change_of(id, Changes::default());
        let copies = (0..6).map(|n| if n % 2 == 0 { &service } else { &other });
        let asking = copies.map(|service| service.change(ORDER_CANCEL, &early));
        let (placed, answers) = tokio::join!(service.place(placement), futures::future::join_all(asking));
        placed.unwrap();
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
        let order = service.get(id).await.unwrap();
        assert_eq!(answers[0].is_ok(), order.status == OrderStatus::Cancelled, "{answers:?}");
    }
}

async fn no_time_makes_a_request_forgotten(service: OrderService) {
    let order = service.order(&[("MUG", 2)]).await;
    let same = Changes { shipping_address: order.shipping_address.clone(), ..Changes::default() };
    let (same, moving) = (change_of(order.id, same), change_of(order.id, address("2 Hill Road")));
    let refused = change_of(order.id, Changes { status: Some(OrderStatus::Delivered), ..Changes::default() });
    let ask = async || {
        let mut answers = Vec::new();
        for change in [&same, &refused, &moving] {
            answers.push(service.change(ORDER_UPDATE, change).await);
        }
        answers
    };
    let first = ask().await;
    assert_eq!(first.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    service.update(order.id, address("3 Mill Lane")).await.unwrap();
    service.clock.advance(Duration::from_hours(24 * 365));
    assert_eq!(ask().await, first);
    assert_eq!(service.get(order.id).await.unwrap().version, 3);
}

async fn the_latest_hundred_answers_of_an_order_that_changed_nothing_are_kept(service: OrderService) {
    let order = service.order(&[("MUG", 2)]).await;
    let other = service.order(&[("MUG", 2)]).await;
    let delivered = Changes { status: Some(OrderStatus::Delivered), ..Changes::default() };
    let of_other = change_of(other.id, delivered.clone());
    let refusal = service.change(ORDER_UPDATE, &of_other).await.unwrap_err();
    let refused: Vec<Change> = (0..150).map(|_| change_of(order.id, delivered.clone())).collect();
    for change in &refused {
        service.clock.advance(Duration::from_millis(1));
        assert_eq!(service.change(ORDER_UPDATE, change).await.unwrap_err(), refusal);
    }
    assert_eq!(service.count("order_change_answers").await, 101);

    service.update(order.id, shipped()).await.unwrap();
    service.update(other.id, shipped()).await.unwrap();
    for change in refused[50..].iter().chain([&of_other]) {
        assert_eq!(service.change(ORDER_UPDATE, change).await.unwrap_err(), refusal);
    }
    assert_eq!(service.change(ORDER_UPDATE, &refused[49]).await.unwrap().status, OrderStatus::Delivered);
}

async fn of_orders_that_do_not_exist_the_latest_hundred_answers_of_a_bucket_are_kept(service: OrderService) {
    // The last bits of a request's id name its bucket.
    let of_bucket = |n: u128, bucket: u128| {
        let placement = placement("CUST01", &[("MUG", 1)]);
        let request_id = uuid::Uuid::from_u128(n << 32 | bucket);
        let change = Change { request_id, ..change_of(placement.order_id, Changes::default()) };
        (placement, change)
    };
    let early: Vec<_> = (0..150).map(|n| of_bucket(n, 7)).collect();
    let elsewhere = of_bucket(150, 8);
    for (_, change) in [&elsewhere].into_iter().chain(&early) {
        service.clock.advance(Duration::from_millis(1));
        let refusal = service.change(ORDER_CANCEL, change).await.unwrap_err();
        assert_eq!(refusal.code, DomainErrorCode::OrderNotFound);
    }
    assert_eq!(service.count("order_change_answers").await, 101);

    for (placement, change) in [&early[50], &early[149], &elsewhere] {
        let order = service.place(placement.clone()).await.unwrap().order.unwrap();
        assert!(service.change(ORDER_CANCEL, change).await.is_err(), "a copy gets the first answer");
        assert_eq!(service.get(order.id).await, Some(order));
    }
    let (placement, change) = &early[49];
    service.place(placement.clone()).await.unwrap();
    assert!(service.change(ORDER_CANCEL, change).await.is_ok(), "judged anew");
}
