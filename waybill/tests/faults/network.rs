//! The network between the processes and the broker misbehaves.

use std::time::Duration;

use tokio::time::sleep;

use crate::broker::assert_faults_are_named;
use crate::checker::assert_promises_kept;
use crate::cluster::{Cluster, Mode, Shape};
use crate::load::{Load, WorkloadConfig};
use crate::scale::{is_full, scaled};

const LIVENESS: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn the_network_goes_silent_resets_slices_delays_and_throttles() {
    let shape = Shape { proxied: true, ..Shape::default() };
    let cluster = Cluster::distributed("network", shape).await.unwrap();
    let load = Load::start(&cluster, scaled(6, 16), WorkloadConfig::default()).await.unwrap();
    let (progress, proxy) = (load.progress(), cluster.proxy.as_ref().unwrap());
    for mode in [Mode::Silent, Mode::Reset, Mode::Slice, Mode::Delay, Mode::Throttle] {
        progress.reaches(progress.placed() + 10, LIVENESS).await.unwrap();
        let (_, before) = (proxy.set(mode), progress.placed());
        sleep(Duration::from_secs(scaled(4, 30) as u64)).await;
        if matches!(mode, Mode::Slice | Mode::Delay | Mode::Throttle) {
            // These are slow, but orders are accepted.
            progress.reaches(before + 1, LIVENESS).await.unwrap();
        }
        proxy.set(Mode::Pass);
        let first = progress.next(LIVENESS).await.unwrap();
        println!("{mode:?}: {} orders meanwhile, the next {first:?} after it", progress.placed() - before);
    }
    let (slowest, answer) = load.log().slowest_answer();
    println!("slowest answer {slowest:?} ({answer}); {}", load.log().summary());
    let bound = Duration::from_millis(if is_full() { 5_100 } else { 8_000 });
    assert!(slowest <= bound, "an answer took {slowest:?}: {answer}");
    assert_faults_are_named(load.log());
    assert_promises_kept(&cluster, load).await;
}
