//! Every process is restarted in turn, while two copies of each serve; and every process ends while PostgreSQL is silent.

use std::time::Duration;

use crate::checker::assert_promises_kept;
use crate::cluster::{Cluster, Shape};
use crate::load::{Load, WorkloadConfig};
use crate::scale::scaled;

const LIVENESS: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_fails_no_request() {
    // Long enough for every client to receive `Connection: close`.
    let variables = vec![("DRAIN_DELAY", "1s".to_owned())];
    let cluster =
        Cluster::distributed("rolling", Shape { copies: 2, variables, ..Shape::default() }).await.unwrap();
    let load = Load::start(&cluster, scaled(6, 32), WorkloadConfig::default()).await.unwrap();
    let progress = load.progress();
    let mut slowest = Duration::ZERO;
    for _ in 0..scaled(1, 5) {
        for program in &cluster.programs {
            progress.reaches(progress.placed() + 5, Duration::from_secs(30)).await.unwrap();
            let (status, took) = program.terminate().await.unwrap();
            assert_eq!(status, Some(0), "{} ended well", program.name);
            slowest = slowest.max(took);
            program.start().await.unwrap();
            program.ready().await.unwrap();
        }
    }
    println!("drained within {slowest:?} at the most; {}", load.log().summary());
    assert!(slowest < Duration::from_secs(30), "a process took {slowest:?} to end");
    let failed: Vec<_> = load.log().answers().into_iter().filter(|answer| answer.fault().is_some()).collect();
    assert!(failed.is_empty(), "{} requests failed: {:?}", failed.len(), &failed[..failed.len().min(5)]);
    assert_promises_kept(&cluster, load).await;
}

/// Stopped with SIGSTOP, PostgreSQL takes connections and answers nothing, so that no operation on it fails by itself.
#[tokio::test(flavor = "multi_thread")]
async fn every_process_ends_well_while_postgres_is_silent() {
    let cluster = Cluster::distributed("silent-database", Shape::default()).await.unwrap();
    let load = Load::start(&cluster, scaled(6, 16), WorkloadConfig::default()).await.unwrap();
    let (progress, api) = (load.progress(), cluster.api("CUST01").unwrap());
    progress.reaches(25, LIVENESS).await.unwrap();
    cluster.database().pause().unwrap();
    // Accepted by the broker, and begun by services that then wait for the database.
    progress.reaches(progress.placed() + 10, LIVENESS).await.unwrap();
    let mut slowest = Duration::ZERO;
    for when in ["running", "starting"] {
        let ending = cluster.programs.iter().map(async |program| {
            let (status, took) = program.terminate().await.unwrap();
            assert_eq!(status, Some(0), "{} ended well while it was {when}", program.name);
            took
        });
        let took = futures::future::join_all(ending).await;
        slowest = slowest.max(took.into_iter().max().unwrap());
        for program in &cluster.programs {
            program.start().await.unwrap();
        }
        // Services reach their database, and get no answer.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(slowest < Duration::from_secs(30), "a process took {slowest:?} to end");
    cluster.database().resume().unwrap();
    cluster.ready().await.unwrap();
    println!(
        "ended within {slowest:?}, first decision {:?} after PostgreSQL goes on; {}",
        load.decided(&api).await,
        load.log().summary()
    );
    assert_promises_kept(&cluster, load).await;
}
