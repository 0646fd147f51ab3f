//! Every process is restarted in turn, while two copies of each serve.

use std::time::Duration;

use crate::checker::assert_promises_kept;
use crate::cluster::{Cluster, Shape};
use crate::load::{Load, WorkloadConfig};
use crate::scale::scaled;

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
