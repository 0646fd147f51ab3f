//! `waybill up` is killed with SIGKILL, over and over.

use std::time::Duration;

use tokio::time::sleep;

use crate::checker::assert_promises_kept;
use crate::load::{Habits, Load};
use crate::plant::{Plant, Shape, open};
use crate::scale::scaled;

const LIVENESS: Duration = Duration::from_secs(30);
const FILES: [&str; 4] = ["broker.sqlite", "orders.sqlite", "inventory.sqlite", "customers.sqlite"];

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_system_is_killed_under_load() {
    let plant = Plant::embedded("embedded", Shape::default()).await.unwrap();
    let load = Load::start(&plant, scaled(6, 16), Habits::default()).await.unwrap();
    let pulse = load.pulse();
    let waybill = &plant.programs[0];
    let kills = scaled(8, 300);
    for _ in 0..kills {
        pulse.reaches(pulse.placed() + rand::random_range(1..20), LIVENESS).await.unwrap();
        sleep(Duration::from_millis(rand::random_range(0..200))).await;
        waybill.kill().await.unwrap();
        assert_files_are_whole(&plant).await;
        waybill.start().await.unwrap();
    }
    plant.ready().await.unwrap();
    println!("{kills} kills; {}", load.log().summary());
    assert_promises_kept(&plant, load).await;
}

/// SQLite finds no fault in any file that the killed process has left.
async fn assert_files_are_whole(plant: &Plant) {
    for file in FILES {
        let mut file = open(&plant.folder().join(file)).await.unwrap();
        let verdict: String =
            sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut file).await.unwrap();
        assert_eq!(verdict, "ok");
    }
}
