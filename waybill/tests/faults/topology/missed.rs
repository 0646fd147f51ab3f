//! Events that never come to inventory.

use std::time::Duration;

use bus::topology::WorkQueue;

use crate::checker::assert_promises_kept;
use crate::cluster::{Cluster, Shape};
use crate::load::{Load, WorkloadConfig};
use crate::scale::scaled;

const LIVENESS: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn events_that_inventory_missed_are_settled() {
    let cluster = Cluster::distributed("missed", Shape::default()).await.unwrap();
    let load = Load::start(&cluster, 4, WorkloadConfig::default()).await.unwrap();
    let bus = cluster.bus().await.unwrap();
    let queue = bus.topology().work(WorkQueue::InventoryOrderEvents);
    let inventory = &cluster.copies_of("inventory-service")[0];
    for _ in 0..scaled(1, 10) {
        let progress = load.progress();
        progress.reaches(progress.placed() + 20, LIVENESS).await.unwrap();
        inventory.kill().await.unwrap();
        let waiting = testkit::eventually("events wait for inventory", async || {
            bus.depth(&queue).await.ok().flatten().map(|depth| depth.ready).filter(|&ready| ready > 2)
        })
        .await;
        cluster.broker().ctl(&["delete_queue", &queue]).await.unwrap();
        inventory.start().await.unwrap();
        cluster.ready().await.unwrap();
        println!("{queue} deleted with {waiting} events in it");
    }
    println!("{}", load.log().summary());
    assert_promises_kept(&cluster, load).await;
}
