//! Queues and exchanges vanish, refuse, or are full; consumers are cancelled.

mod cancelled;
mod missed;
mod refused;

use std::time::Duration;

use bus::topology::WorkQueue;
use tokio::time::sleep;

use crate::checker::assert_promises_kept;
use crate::load::{Habits, Load};
use crate::plant::{Plant, Shape};

const LIVENESS: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn what_vanishes_from_the_broker_is_put_back() {
    // With the exchange goes what is bound to it, and no event is heard from then on.
    let shape = Shape { tapped: false, ..Shape::default() };
    let plant = Plant::distributed("topology", shape).await.unwrap();
    let load = Load::start(&plant, 0, Habits::default()).await.unwrap();
    let (bus, api) = (plant.bus().await.unwrap(), plant.api("CUST01").unwrap());
    load.decided(&api).await;
    for queue in WorkQueue::ALL {
        let name = bus.topology().work(queue);
        testkit::eventually("the queue is empty", async || {
            bus.depth(&name).await.map(|depth| depth.is_some_and(|depth| depth.ready == 0)).unwrap_or(false)
        })
        .await;
        // What was delivered is settled within moments; a command queue deleted with messages in it is not promised.
        sleep(Duration::from_millis(500)).await;
        plant.broker().ctl(&["delete_queue", &name]).await.unwrap();
        let healed = load.decided(&api).await;
        println!("{name} deleted: an order was decided {healed:?} later");
    }
    let exchange = bus.topology().events_exchange();
    let deleted = format!(
        "rabbit_exchange:delete(rabbit_misc:r(<<\"/\">>, exchange, <<\"{exchange}\">>), false, <<\"test\">>)."
    );
    plant.broker().ctl(&["eval", &deleted]).await.unwrap();
    let healed = load.decided(&api).await;
    println!("{exchange} deleted: an order was decided {healed:?} later; {}", load.log().summary());
    assert_promises_kept(&plant, load).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_orders_at_once_and_loses_none() {
    let plant = Plant::distributed("queue-full", Shape::default()).await.unwrap();
    let load = Load::start(&plant, 4, Habits::default()).await.unwrap();
    let pulse = load.pulse();
    pulse.reaches(20, LIVENESS).await.unwrap();

    // A policy's bound holds where it is lower than the queue's own.
    let limit =
        ["set_policy", "full", "order[.]commands$", r#"{"max-length":5,"overflow":"reject-publish"}"#];
    plant.broker().ctl(&[&limit[..], &["--apply-to", "queues"]].concat()).await.unwrap();
    let orders = plant.copies_of("order-service");
    for service in &orders {
        service.signal(testkit::Signal::STOP).await.unwrap();
    }
    let api = plant.api("CUST01").unwrap();
    let refused = testkit::eventually("an order is refused as retryable", async || {
        let begun = tokio::time::Instant::now();
        let (entry, _) = load.place(&api, crate::load::Basket::single(crate::plant::ENDLESS[0])).await;
        (entry.verdict() == crate::load::Verdict::DefiniteError).then(|| begun.elapsed())
    })
    .await;
    plant.broker().ctl(&["clear_policy", "full"]).await.unwrap();
    for service in &orders {
        service.signal(testkit::Signal::CONT).await.unwrap();
    }
    println!("refused within {refused:?}; {}", load.log().summary());
    assert!(refused < Duration::from_secs(2), "refused after {refused:?}");
    load.decided(&api).await;
    assert_promises_kept(&plant, load).await;
}
