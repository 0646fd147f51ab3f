//! Queues and exchanges vanish, refuse, or are full; consumers are cancelled.

mod cancelled;
mod missed;
mod policies;
mod refused;

use std::time::Duration;

use bus::topology::WorkQueue;
use tokio::time::sleep;

use crate::checker::assert_promises_kept;
use crate::cluster::{Cluster, Shape};
use crate::load::{Load, WorkloadConfig};

const LIVENESS: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn what_vanishes_from_the_broker_is_put_back() {
    // The recorder's binding is deleted with the exchange, and it receives no event from then on.
    let shape = Shape { records_events: false, ..Shape::default() };
    let cluster = Cluster::distributed("topology", shape).await.unwrap();
    let load = Load::start(&cluster, 0, WorkloadConfig::default()).await.unwrap();
    let (bus, api) = (cluster.bus().await.unwrap(), cluster.api("CUST01").unwrap());
    load.decided(&api).await;
    for queue in WorkQueue::ALL {
        let name = bus.topology().work(queue);
        testkit::eventually("the queue is empty", async || {
            bus.depth(&name).await.map(|depth| depth.is_some_and(|depth| depth.ready == 0)).unwrap_or(false)
        })
        .await;
        // What was delivered is settled within moments; a command queue deleted with messages in it is not promised.
        sleep(Duration::from_millis(500)).await;
        cluster.broker().ctl(&["delete_queue", &name]).await.unwrap();
        let healed = load.decided(&api).await;
        println!("{name} deleted: an order was decided {healed:?} later");
    }
    let exchange = bus.topology().events_exchange();
    let deleted = format!(
        "rabbit_exchange:delete(rabbit_misc:r(<<\"/\">>, exchange, <<\"{exchange}\">>), false, <<\"test\">>)."
    );
    cluster.broker().ctl(&["eval", &deleted]).await.unwrap();
    let healed = load.decided(&api).await;
    println!("{exchange} deleted: an order was decided {healed:?} later; {}", load.log().summary());
    assert_promises_kept(&cluster, load).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_orders_at_once_and_loses_none() {
    let cluster = Cluster::distributed("queue-full", Shape::default()).await.unwrap();
    let load = Load::start(&cluster, 4, WorkloadConfig::default()).await.unwrap();
    let progress = load.progress();
    progress.reaches(20, LIVENESS).await.unwrap();

    // A policy's bound holds where it is lower than the queue's own.
    let limit =
        ["set_policy", "full", "order[.]commands$", r#"{"max-length":5,"overflow":"reject-publish"}"#];
    cluster.broker().ctl(&[&limit[..], &["--apply-to", "queues"]].concat()).await.unwrap();
    let orders = cluster.copies_of("order-service");
    for service in &orders {
        service.signal(testkit::Signal::STOP).await.unwrap();
    }
    let api = cluster.api("CUST01").unwrap();
    let refused = testkit::eventually("an order is refused as retryable", async || {
        let begun = tokio::time::Instant::now();
        let (entry, _) = load.place(&api, crate::load::Basket::single(crate::cluster::ENDLESS[0])).await;
        (entry.outcome() == waybill::audit::ClientOutcome::Error).then(|| begun.elapsed())
    })
    .await;
    cluster.broker().ctl(&["clear_policy", "full"]).await.unwrap();
    for service in &orders {
        service.signal(testkit::Signal::CONT).await.unwrap();
    }
    println!("refused within {refused:?}; {}", load.log().summary());
    assert!(refused < Duration::from_secs(2), "refused after {refused:?}");
    load.decided(&api).await;
    assert_promises_kept(&cluster, load).await;
}
