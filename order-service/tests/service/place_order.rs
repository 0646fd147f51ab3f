use bus::consumer::Disposition;
use schema::domain_error::DomainErrorCode;
use schema::order::{OrderStatus, RejectionCode};
use schema::order_messages::CreateOrder;
use schema::pattern::{CUSTOMER_GET, INVENTORY_RESERVE};

use crate::backends::{Mood, PRICELESS};
use crate::kit::{OrderService, answer_of, keyed, placement};
use crate::on_both_databases;

on_both_databases!(
    an_order_is_placed_with_names_prices_and_total,
    a_command_delivered_twice_makes_one_order_and_is_no_replay,
    the_same_key_replays_and_another_input_is_refused,
    a_key_of_one_customer_tells_no_other_customer,
    a_batch_takes_one_request_to_each_service,
    one_id_twice_in_a_batch_is_one_order,
    what_can_not_be_fulfilled_is_stored_as_rejected,
    an_order_that_can_never_be_priced_is_rejected_at_once,
    a_placement_out_of_bounds_is_refused_and_leaves_nothing,
    with_inventory_away_orders_are_pending,
    a_service_that_never_answers_costs_no_more_than_the_budget,
    a_fault_of_one_order_keeps_only_that_one_waiting,
    a_deleted_order_does_not_come_back,
    what_is_no_command_is_dead,
    two_copies_given_one_batch_place_each_order_once,
);

async fn an_order_is_placed_with_names_prices_and_total(service: OrderService) {
    let order = service.order(&[("MUG", 2), ("TRAY", 1)]).await;
    assert_eq!((order.status, order.version), (OrderStatus::Processing, 1));
    assert_eq!(order.total_amount.unwrap().to_decimal(), "30.00");
    assert_eq!(order.shipping_address.as_deref(), Some("CUST01's own address"));
    let names: Vec<_> = order.line_items.iter().filter_map(|line| line.product_name.as_deref()).collect();
    assert_eq!(names, ["Thing MUG", "Thing TRAY"]);
    assert_eq!(service.get(order.id).await, Some(order), "it reads back as it was answered");
    assert_eq!(service.in_stock("MUG"), 98);
}

async fn a_command_delivered_twice_makes_one_order_and_is_no_replay(service: OrderService) {
    let sent = service.command(placement("CUST01", &[("MUG", 2)]));
    let first = answer_of(service.deliver(std::slice::from_ref(&sent)).await.remove(0)).unwrap();
    let second = answer_of(service.deliver(std::slice::from_ref(&sent)).await.remove(0)).unwrap();
    assert!(!first.replayed && !second.replayed);
    assert_eq!(first, second);
    assert_eq!(
        service.backends.asked(INVENTORY_RESERVE),
        [1],
        "a stored order is answered without reserving"
    );
    assert_eq!(service.count("orders").await, 1);
    assert_eq!(service.count("order_events").await, 1);
    assert_eq!(service.count("order_line_items").await, 1);
}

async fn the_same_key_replays_and_another_input_is_refused(service: OrderService) {
    let first = service.place(keyed("k1", &[("MUG", 2)])).await.unwrap();
    let again = service.place(keyed("k1", &[("MUG", 2)])).await.unwrap();
    assert!(!first.replayed && again.replayed);
    assert_eq!(first.order, again.order);
    let with_address =
        CreateOrder { shipping_address: Some("2 Hill Road".to_owned()), ..keyed("k1", &[("MUG", 2)]) };
    for other in [keyed("k1", &[("MUG", 3)]), keyed("k1", &[("TRAY", 2)]), with_address] {
        let refusal = service.place(other).await.unwrap_err();
        assert_eq!(refusal.code, DomainErrorCode::IdempotencyKeyReused);
    }
    assert_eq!(service.in_stock("MUG"), 98);
}

async fn a_key_of_one_customer_tells_no_other_customer(service: OrderService) {
    let first = service.place(placement("CUST01", &[("MUG", 2)])).await.unwrap().order.unwrap();
    let stolen = CreateOrder { order_id: first.id, ..placement("CUST02", &[("MUG", 2)]) };
    assert_eq!(service.place(stolen).await.unwrap_err().code, DomainErrorCode::IdempotencyKeyReused);
    let misnamed =
        CreateOrder { idempotency_key: Some("k1".to_owned()), ..placement("CUST01", &[("MUG", 1)]) };
    assert_eq!(service.place(misnamed).await.unwrap_err().code, DomainErrorCode::InvalidInput);
}

async fn a_batch_takes_one_request_to_each_service(service: OrderService) {
    let batch: Vec<_> = (0..20).map(|_| service.command(placement("CUST01", &[("MUG", 1)]))).collect();
    let dispositions = service.deliver(&batch).await;
    assert!(dispositions.into_iter().all(|disposition| answer_of(disposition).unwrap().order.is_some()));
    assert_eq!(service.backends.asked(CUSTOMER_GET), [1]);
    assert_eq!(service.backends.asked(INVENTORY_RESERVE), [20]);
    assert_eq!(service.in_stock("MUG"), 80);
}

async fn one_id_twice_in_a_batch_is_one_order(service: OrderService) {
    let batch = [
        service.command(keyed("k1", &[("MUG", 2)])),
        service.command(keyed("k1", &[("MUG", 2)])),
        service.command(keyed("k1", &[("MUG", 9)])),
    ];
    let mut answers = service.deliver(&batch).await.into_iter().map(answer_of);
    let (first, second) = (answers.next().unwrap().unwrap(), answers.next().unwrap().unwrap());
    assert!(!first.replayed && second.replayed);
    assert_eq!(answers.next().unwrap().unwrap_err().code, DomainErrorCode::IdempotencyKeyReused);
    assert_eq!(service.count("orders").await, 1);
    assert_eq!(service.in_stock("MUG"), 98);
}

async fn what_can_not_be_fulfilled_is_stored_as_rejected(service: OrderService) {
    for (customer, items, code, priced) in [
        ("CUST01", &[("RARE", 2)][..], RejectionCode::OutOfStock, true),
        ("CUST01", &[("MUG", 1), ("NONE", 1)], RejectionCode::UnknownProduct, false),
        ("UNKNOWN", &[("MUG", 1)], RejectionCode::UnknownCustomer, false),
    ] {
        let order = service.place(placement(customer, items)).await.unwrap().order.unwrap();
        assert_eq!(order.status, OrderStatus::Rejected);
        assert_eq!(order.rejection.as_ref().unwrap().code, code);
        assert_eq!(order.total_amount.is_some(), priced, "{code:?}");
        assert_eq!(service.get(order.id).await, Some(order));
    }
    assert_eq!(service.backends.asked(INVENTORY_RESERVE), [1, 1], "an unknown customer reserves nothing");
    assert_eq!(service.in_stock("MUG"), 100);
}

async fn an_order_that_can_never_be_priced_is_rejected_at_once(service: OrderService) {
    service.backends.state().stock.insert(PRICELESS.parse().unwrap(), 10);
    let order = service.order(&[(PRICELESS, 2)]).await;
    let rejection = order.rejection.unwrap();
    assert_eq!((order.status, order.version), (OrderStatus::Rejected, 1));
    assert_eq!(rejection.code, RejectionCode::UnknownProduct);
    assert_eq!(rejection.message, "the total is more than an order can have");
    assert_eq!(service.order(&[(PRICELESS, 1)]).await.status, OrderStatus::Processing);
}

async fn a_placement_out_of_bounds_is_refused_and_leaves_nothing(service: OrderService) {
    for (bad, code) in [
        (placement("CUST01", &[]), DomainErrorCode::InvalidInput),
        (placement("CUST01", &[("MUG", 0)]), DomainErrorCode::InvalidInput),
        (placement("CUST01", &[("MUG", 1), ("MUG", 2)]), DomainErrorCode::DuplicateProduct),
    ] {
        assert_eq!(service.place(bad).await.unwrap_err().code, code);
    }
    assert_eq!(service.count("orders").await, 0);
    assert_eq!(service.backends.state().asked, []);
}

async fn with_inventory_away_orders_are_pending(service: OrderService) {
    service.backends.state().inventory = Mood::Away;
    let order = service.order(&[("MUG", 1)]).await;
    assert_eq!((order.status, order.version, order.total_amount), (OrderStatus::Pending, 1, None));
    assert_eq!(order.shipping_address.as_deref(), Some("CUST01's own address"));
    assert_eq!(service.get(order.id).await, Some(order));
    service.backends.state().customers = Mood::Away;
    let order = service.order(&[("MUG", 1)]).await;
    assert_eq!((order.status, order.shipping_address), (OrderStatus::Pending, None));
}

async fn a_service_that_never_answers_costs_no_more_than_the_budget(service: OrderService) {
    let service = service.impatient();
    service.backends.state().inventory = Mood::Silent;
    assert_eq!(service.order(&[("MUG", 1)]).await.status, OrderStatus::Pending);
    service.backends.state().customers = Mood::Silent;
    assert_eq!(service.order(&[("MUG", 1)]).await.status, OrderStatus::Pending);
}

async fn a_fault_of_one_order_keeps_only_that_one_waiting(service: OrderService) {
    service.backends.state().poison = Some("NONE".parse().unwrap());
    let batch = [
        service.command(placement("CUST01", &[("MUG", 1)])),
        service.command(placement("CUST01", &[("NONE", 1)])),
        service.command(placement("CUST01", &[("TRAY", 1)])),
    ];
    let dispositions = service.deliver(&batch).await;
    let statuses: Vec<_> = dispositions
        .into_iter()
        .map(|disposition| answer_of(disposition).unwrap().order.unwrap().status)
        .collect();
    assert_eq!(statuses, [OrderStatus::Processing, OrderStatus::Pending, OrderStatus::Processing]);
}

async fn a_deleted_order_does_not_come_back(service: OrderService) {
    let sent = service.command(keyed("k1", &[("MUG", 2)]));
    let order =
        answer_of(service.deliver(std::slice::from_ref(&sent)).await.remove(0)).unwrap().order.unwrap();
    service.delete(order.id).await.unwrap();
    for again in [sent, service.command(keyed("k1", &[("MUG", 2)]))] {
        let placed = answer_of(service.deliver(&[again]).await.remove(0)).unwrap();
        assert_eq!((placed.order, placed.replayed), (None, true));
    }
    assert_eq!(service.get(order.id).await, None);
    assert_eq!(service.backends.asked(INVENTORY_RESERVE), [1]);
}

async fn what_is_no_command_is_dead(service: OrderService) {
    let mut unknown = service.command(placement("CUST01", &[("MUG", 1)]));
    unknown.0.envelope.pattern = "order.frobnicate".to_owned();
    let mut mistyped = service.command(placement("CUST01", &[("MUG", 1)]));
    mistyped.0.envelope.data = serde_json::value::to_raw_value(&7).unwrap();
    let good = service.command(placement("CUST01", &[("MUG", 1)]));
    let dispositions = service.deliver(&[unknown, mistyped, good]).await;
    assert!(
        matches!(dispositions[..], [Disposition::Dead(_), Disposition::Dead(_), Disposition::Done(Some(_))]),
        "{dispositions:?}"
    );
}

async fn two_copies_given_one_batch_place_each_order_once(service: OrderService) {
    let other = service.another_copy().await;
    let batch: Vec<_> = (0..10).map(|n| service.command(keyed(&format!("k{n}"), &[("MUG", 1)]))).collect();
    let mut reversed = batch.clone();
    reversed.reverse();
    let (here, there) = tokio::join!(service.deliver(&batch), other.deliver(&reversed));
    let here: Vec<_> = here.into_iter().map(|disposition| answer_of(disposition).unwrap()).collect();
    let there: Vec<_> = there.into_iter().rev().map(|disposition| answer_of(disposition).unwrap()).collect();
    assert_eq!(here, there, "both answer the one order, and neither calls it a replay");
    assert_eq!(service.count("orders").await, 10);
    assert_eq!(service.count("order_events").await, 10);
    assert_eq!(service.in_stock("MUG"), 90);
}
