//! Processes are killed with SIGKILL at random moments, and started again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::seq::SliceRandom as _;
use tokio::time::sleep;

use crate::checker::assert_promises_kept;
use crate::cluster::{Cluster, Program, Shape};
use crate::load::{Load, WorkloadConfig};
use crate::scale::{is_full, scaled};

#[tokio::test(flavor = "multi_thread")]
async fn random_processes_are_killed_under_load() {
    let cluster = Cluster::distributed("kills", Shape::default()).await.unwrap();
    let load = Load::start(&cluster, scaled(8, 64), WorkloadConfig::default()).await.unwrap();
    let progress = load.progress();
    progress.reaches(10, Duration::from_secs(60)).await.unwrap();

    let mut kills: BTreeMap<&str, usize> = BTreeMap::new();
    let (rounds, orders) = (scaled(2, 25), scaled(150, 10_000) as u64);
    while kills.values().any(|killed| *killed < rounds) || kills.is_empty() || progress.placed() < orders {
        let mut victims: Vec<&Program> = cluster.programs.iter().map(Arc::as_ref).collect();
        victims.shuffle(&mut rand::rng());
        for victim in victims {
            victim.kill().await.unwrap();
            sleep(Duration::from_millis(rand::random_range(0..300))).await;
            victim.start().await.unwrap();
            *kills.entry(&victim.name).or_default() += 1;
            let pause = if is_full() { 1_000..3_000 } else { 500..1_500 };
            sleep(Duration::from_millis(rand::random_range(pause))).await;
        }
    }
    cluster.ready().await.unwrap();

    if is_full() {
        let unknown = load.log().longest_unknown();
        assert!(unknown <= Duration::from_secs(30), "an outcome was unknown for {unknown:?}");
    }
    println!("kills {kills:?}; {}", load.log().summary());
    assert_promises_kept(&cluster, load).await;
}
