//! A broker's administrator has it drop what it has confirmed.

use std::time::Duration;

use bus::topology::WorkQueue;
use futures::future::join_all;
use serde_json::json;
use waybill::audit::ClientOutcome;

use crate::checker::assert_promises_kept;
use crate::cluster::{Cluster, ENDLESS, Shape};
use crate::load::{Basket, Load, WorkloadConfig};
use crate::scale::scaled;

#[tokio::test(flavor = "multi_thread")]
async fn accepted_orders_that_a_policy_drops_are_placed_again() {
    let cluster = Cluster::distributed("policies", Shape::default()).await.unwrap();
    let load = Load::start(&cluster, 0, WorkloadConfig::default()).await.unwrap();
    let (bus, api) = (cluster.bus().await.unwrap(), cluster.api("CUST01").unwrap());
    let orders = &cluster.copies_of("order-service")[0];
    for (drops, policy) in
        [("expired messages", r#"{"message-ttl":1500}"#), ("unused queues", r#"{"expires":1500}"#)]
    {
        load.decided(&api).await;
        orders.kill().await.unwrap();
        cluster.broker().ctl(&["set_policy", "x", ".*", policy, "--apply-to", "queues"]).await.unwrap();
        let placing = (0..scaled(16, 200)).map(|_| load.place(&api, Basket::single(ENDLESS[0])));
        let placed = join_all(placing).await;
        let is_pending = |shown: &Option<crate::load::Shown>| {
            shown.as_ref().is_some_and(|order| order.status == "PENDING" && order.version == 0)
        };
        assert!(placed.iter().all(|(entry, _)| entry.outcome() == ClientOutcome::Ok), "{placed:?}");
        assert!(placed.iter().all(|(_, shown)| is_pending(shown)), "{placed:?}");
        for queue in
            [bus.topology().work(WorkQueue::OrderCommands), bus.topology().dead(WorkQueue::OrderCommands)]
        {
            testkit::eventually("the accepted orders are gone", async || {
                bus.depth(&queue).await.is_ok_and(|depth| depth.is_none_or(|depth| depth.ready == 0))
            })
            .await;
        }
        orders.start().await.unwrap();
        cluster.ready().await.unwrap();
        let back = tokio::time::Instant::now();
        for (_, shown) in &placed {
            let id = shown.as_ref().unwrap().order_id;
            testkit::eventually("it is decided", async || {
                let document = "query ($id: ID!) { order(id: $id) { status } }";
                let data = api.query(document, json!({ "id": id })).await?;
                anyhow::ensure!(data["order"]["status"] == "PROCESSING", "{data}");
                anyhow::Ok(())
            })
            .await;
        }
        println!(
            "{drops}: {} accepted orders were gone, decided {:?} after order-service was back",
            placed.len(),
            back.elapsed()
        );
        cluster.broker().ctl(&["clear_policy", "x"]).await.unwrap();
        let said = cluster.copies_of("gateway")[0].said("had not reached order-service").await.unwrap();
        assert!(said >= placed.len(), "the gateway says so {said} times");
    }
    // What vanished with the policy is declared again.
    drop(bus.declare().await);
    tokio::time::sleep(Duration::from_millis(100)).await;
    println!("{}", load.log().summary());
    assert_promises_kept(&cluster, load).await;
}
