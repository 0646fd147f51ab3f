use bus::consumer::Disposition;
use bus::failure::FailureCode;
use schema::order::OrderStatus;
use schema::pattern::INVENTORY_RESERVE;
use store::failpoint::Failpoint;

use crate::backends::UNSTORABLE;
use crate::kit::{OrderService, answer_of, keyed, placement};
use crate::on_both_databases;

on_both_databases!(
    a_crash_before_the_commit_leaves_what_the_redelivery_takes_up,
    a_crash_after_the_commit_leaves_what_the_redelivery_answers,
    a_crash_while_retrying_leaves_the_order_to_another_copy,
);

async fn a_crash_before_the_commit_leaves_what_the_redelivery_takes_up(service: OrderService) {
    let sent = service.command(placement("CUST01", &[("MUG", 2)]));
    let delivered = sent.clone();
    service
        .crash_at(Failpoint::AfterReserveBeforeCommit, async |service| {
            service.deliver(&[delivered]).await;
        })
        .await;
    assert_eq!((service.count("orders").await, service.in_stock("MUG")), (0, 98));
    let placed = answer_of(service.deliver(&[sent]).await.remove(0)).unwrap();
    assert_eq!((placed.order.unwrap().status, placed.replayed), (OrderStatus::Processing, false));
    assert_eq!(service.in_stock("MUG"), 98, "the same hold is used");
}

async fn a_crash_after_the_commit_leaves_what_the_redelivery_answers(service: OrderService) {
    let sent = service.command(placement("CUST01", &[("MUG", 2)]));
    let delivered = sent.clone();
    service
        .crash_at(Failpoint::AfterCommitBeforeAnswer, async |service| {
            service.deliver(&[delivered]).await;
        })
        .await;
    let placed = answer_of(service.deliver(&[sent]).await.remove(0)).unwrap();
    assert_eq!((placed.order.unwrap().status, placed.replayed), (OrderStatus::Processing, false));
    assert_eq!(service.backends.asked(INVENTORY_RESERVE), [1]);
    assert_eq!(service.count("order_events").await, 1);
}

async fn a_crash_while_retrying_leaves_the_order_to_another_copy(service: OrderService) {
    // A claim lasts little longer than the request timeout.
    let service = service.impatient();
    service.backends.state().inventory = crate::backends::Mood::Away;
    let pending = service.order(&[("MUG", 2)]).await;
    service.backends.state().inventory = crate::backends::Mood::Answers;
    service
        .crash_at(Failpoint::AfterReserveBeforeCommit, async |service| {
            service.retry_until_settled(pending.id).await;
        })
        .await;
    assert_eq!(service.get(pending.id).await.unwrap().status, OrderStatus::Pending);
    let order = service.retry_until_settled(pending.id).await;
    assert_eq!((order.version, service.in_stock("MUG")), (2, 98));
}

#[tokio::test]
async fn an_order_that_can_not_be_stored_fails_alone_and_counts_an_attempt() {
    let service = OrderService::on_postgres().await;
    service.backends.state().stock.insert(UNSTORABLE.parse().unwrap(), 10);
    let batch = [
        service.command(keyed("good", &[("MUG", 1)])),
        service.command(keyed("bad", &[(UNSTORABLE, 1)])),
        service.command(keyed("good too", &[("TRAY", 1)])),
    ];
    let dispositions = service.deliver(&batch).await;
    assert!(
        matches!(&dispositions[..], [Disposition::Done(_), Disposition::Retry(failure), Disposition::Done(_)]
            if failure.code == FailureCode::Internal),
        "{dispositions:?}"
    );
    assert_eq!(service.backends.asked(INVENTORY_RESERVE), [3], "the good ones are not reserved twice");
    assert_eq!(service.count("orders").await, 2);
}

#[tokio::test]
async fn while_its_own_database_is_away_a_batch_is_held() {
    let server = testkit::Postgres::start().await.unwrap();
    let service = OrderService::on_postgres_at(server.create_database("orders").await.unwrap()).await;
    let sent = service.command(placement("CUST01", &[("MUG", 2)]));
    server.stop_immediately().await.unwrap();
    let dispositions = service.deliver(std::slice::from_ref(&sent)).await;
    assert!(matches!(dispositions[..], [Disposition::RetryInPlace(_)]), "{dispositions:?}");
    server.restart().await.unwrap();
    let placed = answer_of(service.deliver(&[sent]).await.remove(0)).unwrap();
    assert_eq!(placed.order.unwrap().status, OrderStatus::Processing);
    assert_eq!(service.in_stock("MUG"), 98);
}
