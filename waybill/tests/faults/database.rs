//! PostgreSQL crashes while orders come in.

use std::time::Duration;

use testkit::eventually;
use tokio::time::sleep;

use crate::checker::assert_promises_kept;
use crate::cluster::{Cluster, Shape};
use crate::load::{Load, WorkloadConfig};
use crate::scale::{is_full, scaled};

const LIVENESS: Duration = Duration::from_secs(30);
/// The bound that is promised, judged at full scale.
const PROMISED: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_stopped_immediately_and_restarted_under_load() {
    let cluster = Cluster::distributed("database", Shape::default()).await.unwrap();
    let load = Load::start(&cluster, scaled(8, 16), WorkloadConfig::default()).await.unwrap();
    let (progress, api) = (load.progress(), cluster.api("CUST01").unwrap());
    let orders = &cluster.copies_of("order-service")[0];
    let mut slowest = Duration::ZERO;
    let rounds = scaled(3, 20);
    for round in 0..rounds {
        progress.reaches(progress.placed() + 25, LIVENESS).await.unwrap();
        cluster.database().stop_immediately().await.unwrap();
        // Orders are accepted while it is away: the broker has them.
        sleep(Duration::from_millis(500 * (round as u64 % 3))).await;
        if round == 0 {
            eventually("readiness names the database", async || {
                let missing = orders.missing().await?;
                anyhow::ensure!(missing.iter().any(|part| part.contains("database")), "missing: {missing:?}");
                anyhow::Ok(())
            })
            .await;
        }
        cluster.database().restart().await.unwrap();
        slowest = slowest.max(load.decided(&api).await);
    }
    println!(
        "{rounds} crashes of PostgreSQL, first decision {slowest:?} after it at the most; {}",
        load.log().summary()
    );
    if is_full() {
        assert!(slowest <= PROMISED, "the first order was decided {slowest:?} after PostgreSQL was back");
    }
    assert_promises_kept(&cluster, load).await;
}
