//! Processes are killed with SIGKILL at random moments, and started again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::seq::SliceRandom as _;
use tokio::time::sleep;

use crate::checker::assert_promises_kept;
use crate::load::{Habits, Load};
use crate::plant::{Plant, Program, Shape};
use crate::scale::{is_full, scaled};

#[tokio::test(flavor = "multi_thread")]
async fn random_processes_are_killed_under_load() {
    let plant = Plant::distributed("kills", Shape::default()).await.unwrap();
    let load = Load::start(&plant, scaled(8, 64), Habits::default()).await.unwrap();
    let pulse = load.pulse();
    pulse.reaches(10, Duration::from_secs(60)).await.unwrap();

    let mut kills: BTreeMap<&str, usize> = BTreeMap::new();
    let (rounds, orders) = (scaled(2, 25), scaled(150, 10_000) as u64);
    while kills.values().any(|killed| *killed < rounds) || kills.is_empty() || pulse.placed() < orders {
        let mut victims: Vec<&Program> = plant.programs.iter().map(Arc::as_ref).collect();
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
    plant.ready().await.unwrap();

    if is_full() {
        let unknown = load.log().longest_unknown();
        assert!(unknown <= Duration::from_secs(30), "an outcome was unknown for {unknown:?}");
    }
    println!("kills {kills:?}; {}", load.log().summary());
    assert_promises_kept(&plant, load).await;
}
