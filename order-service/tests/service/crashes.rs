use bus::consumer::Disposition;
use bus::failure::FailureCode;
use schema::order::OrderStatus;
use schema::pattern::INVENTORY_RESERVE;
use store::failpoint::Failpoint;

use crate::backends::UNSTORABLE;
use crate::on_both_databases;
use crate::shop::{Shop, keyed, placement, told};

on_both_databases!(
    a_crash_before_the_commit_leaves_what_the_redelivery_takes_up,
    a_crash_after_the_commit_leaves_what_the_redelivery_answers,
    a_crash_while_retrying_leaves_the_order_to_another_copy,
);

async fn a_crash_before_the_commit_leaves_what_the_redelivery_takes_up(shop: Shop) {
    let sent = shop.command(placement("CUST01", &[("MUG", 2)]));
    let delivered = sent.clone();
    shop.crash_at(Failpoint::AfterReserveBeforeCommit, async |shop| {
        shop.deliver(&[delivered]).await;
    })
    .await;
    assert_eq!((shop.count("orders").await, shop.in_stock("MUG")), (0, 98));
    let placed = told(shop.deliver(&[sent]).await.remove(0)).unwrap();
    assert_eq!((placed.order.unwrap().status, placed.replayed), (OrderStatus::Processing, false));
    assert_eq!(shop.in_stock("MUG"), 98, "the same hold is used");
}

async fn a_crash_after_the_commit_leaves_what_the_redelivery_answers(shop: Shop) {
    let sent = shop.command(placement("CUST01", &[("MUG", 2)]));
    let delivered = sent.clone();
    shop.crash_at(Failpoint::AfterCommitBeforeAnswer, async |shop| {
        shop.deliver(&[delivered]).await;
    })
    .await;
    let placed = told(shop.deliver(&[sent]).await.remove(0)).unwrap();
    assert_eq!((placed.order.unwrap().status, placed.replayed), (OrderStatus::Processing, false));
    assert_eq!(shop.backends.asked(INVENTORY_RESERVE), [1]);
    assert_eq!(shop.count("order_events").await, 1);
}

async fn a_crash_while_retrying_leaves_the_order_to_another_copy(shop: Shop) {
    // A claim lasts little longer than asking may take.
    let shop = shop.impatient();
    shop.backends.state().inventory = crate::backends::Mood::Away;
    let pending = shop.order(&[("MUG", 2)]).await;
    shop.backends.state().inventory = crate::backends::Mood::Answers;
    shop.crash_at(Failpoint::AfterReserveBeforeCommit, async |shop| {
        shop.retry_until_settled(pending.id).await;
    })
    .await;
    assert_eq!(shop.get(pending.id).await.unwrap().status, OrderStatus::Pending);
    let order = shop.retry_until_settled(pending.id).await;
    assert_eq!((order.version, shop.in_stock("MUG")), (2, 98));
}

#[tokio::test]
async fn an_order_that_can_not_be_stored_fails_alone_and_counts_an_attempt() {
    let shop = Shop::on_postgres().await;
    shop.backends.state().stock.insert(UNSTORABLE.parse().unwrap(), 10);
    let batch = [
        shop.command(keyed("good", &[("MUG", 1)])),
        shop.command(keyed("bad", &[(UNSTORABLE, 1)])),
        shop.command(keyed("good too", &[("TRAY", 1)])),
    ];
    let dispositions = shop.deliver(&batch).await;
    assert!(
        matches!(&dispositions[..], [Disposition::Done(_), Disposition::Retry(failure), Disposition::Done(_)]
            if failure.code == FailureCode::Internal),
        "{dispositions:?}"
    );
    assert_eq!(shop.backends.asked(INVENTORY_RESERVE), [3], "the good ones are not reserved twice");
    assert_eq!(shop.count("orders").await, 2);
}

#[tokio::test]
async fn while_its_own_database_is_away_a_batch_is_held() {
    let server = testkit::Postgres::start().await.unwrap();
    let shop = Shop::on_postgres_at(server.create_database("orders").await.unwrap()).await;
    let sent = shop.command(placement("CUST01", &[("MUG", 2)]));
    server.stop_immediately().await.unwrap();
    let dispositions = shop.deliver(std::slice::from_ref(&sent)).await;
    assert!(matches!(dispositions[..], [Disposition::RetryInPlace(_)]), "{dispositions:?}");
    server.restart().await.unwrap();
    let placed = told(shop.deliver(&[sent]).await.remove(0)).unwrap();
    assert_eq!(placed.order.unwrap().status, OrderStatus::Processing);
    assert_eq!(shop.in_stock("MUG"), 98);
}
