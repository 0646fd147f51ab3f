//! Events that never come to inventory.

use std::time::Duration;

use bus::topology::WorkQueue;

use crate::checker::assert_promises_kept;
use crate::load::{Habits, Load};
use crate::plant::{Plant, Shape};
use crate::scale::scaled;

const LIVENESS: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn events_that_inventory_missed_are_settled() {
    let plant = Plant::distributed("missed", Shape::default()).await.unwrap();
    let load = Load::start(&plant, 4, Habits::default()).await.unwrap();
    let bus = plant.bus().await.unwrap();
    let queue = bus.topology().work(WorkQueue::InventoryOrderEvents);
    let inventory = &plant.copies_of("inventory-service")[0];
    for _ in 0..scaled(1, 10) {
        let pulse = load.pulse();
        pulse.reaches(pulse.placed() + 20, LIVENESS).await.unwrap();
        inventory.kill().await.unwrap();
        let waiting = testkit::eventually("events wait for inventory", async || {
            bus.depth(&queue).await.ok().flatten().map(|depth| depth.ready).filter(|&ready| ready > 2)
        })
        .await;
        plant.broker().ctl(&["delete_queue", &queue]).await.unwrap();
        inventory.start().await.unwrap();
        plant.ready().await.unwrap();
        println!("{queue} deleted with {waiting} events in it");
    }
    println!("{}", load.log().summary());
    assert_promises_kept(&plant, load).await;
}
