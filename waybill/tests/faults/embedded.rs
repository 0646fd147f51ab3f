//! `waybill up` is killed with SIGKILL, over and over.

use std::time::Duration;

use tokio::time::sleep;

use crate::checker::assert_promises_kept;
use crate::cluster::{Cluster, Shape, open};
use crate::load::{Load, WorkloadConfig};
use crate::scale::scaled;

const LIVENESS: Duration = Duration::from_secs(30);
const FILES: [&str; 4] = ["broker.sqlite", "orders.sqlite", "inventory.sqlite", "customers.sqlite"];

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_system_is_killed_under_load() {
    let cluster = Cluster::embedded("embedded", Shape::default()).await.unwrap();
    let load = Load::start(&cluster, scaled(6, 16), WorkloadConfig::default()).await.unwrap();
    let progress = load.progress();
    let waybill = &cluster.programs[0];
    let kills = scaled(8, 300);
    for _ in 0..kills {
        progress.reaches(progress.placed() + rand::random_range(1..20), LIVENESS).await.unwrap();
        sleep(Duration::from_millis(rand::random_range(0..200))).await;
        waybill.kill().await.unwrap();
        assert_files_are_whole(&cluster).await;
        waybill.start().await.unwrap();
    }
    cluster.ready().await.unwrap();
    println!("{kills} kills; {}", load.log().summary());
    assert_promises_kept(&cluster, load).await;
}

/// SQLite finds no fault in any file that the killed process has left.
pub(crate) async fn assert_files_are_whole(cluster: &Cluster) {
    for file in FILES {
        let mut file = open(&cluster.folder().join(file)).await.unwrap();
        let verdict: String =
            sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut file).await.unwrap();
        assert_eq!(verdict, "ok");
    }
}
