//! A copy of each service is stopped for longer than its holds and leases last, and then continued.

use std::sync::Arc;
use std::time::Duration;

use store::failpoint::Failpoint;
use testkit::Signal;
use tokio::time::sleep;

use crate::checker::assert_promises_kept;
use crate::cluster::{Cluster, Program, Shape};
use crate::failpoints::arm;
use crate::load::{Load, WorkloadConfig};
use crate::scale::scaled;

/// Where a copy of order-service and one of inventory-service stop together: holding, committing and publishing.
const STALLS: [(Failpoint, Failpoint); 5] = [
    (Failpoint::AfterReserveBeforeCommit, Failpoint::AfterHoldBeforeReply),
    (Failpoint::AfterCommitBeforeAnswer, Failpoint::ReleaseBeforeCommit),
    (Failpoint::AfterChangeBeforeReply, Failpoint::AfterFollowBeforeAck),
    (Failpoint::AfterNumberingBeforePublish, Failpoint::AfterHoldBeforeReply),
    (Failpoint::AfterPublishBeforeMark, Failpoint::ReleaseBeforeCommit),
];

/// Longer than a hold of one second, the relay's lease, and what a transaction may lie idle for.
const STALL_SECONDS: u64 = 7;
/// Longer than the broker waits for a heartbeat: what was delivered goes to other copies meanwhile.
const LONG_STALL_SECONDS: u64 = 13;

#[tokio::test(flavor = "multi_thread")]
async fn services_that_stand_still_beyond_hold_and_lease_do_no_harm() {
    let variables = vec![("RESERVATION_HOLD", "1s".to_owned())];
    let shape = Shape { copies: 2, variables, ..Shape::default() };
    let cluster = Cluster::distributed("stalls", shape).await.unwrap();
    let load = Load::start(&cluster, scaled(6, 16), WorkloadConfig::default()).await.unwrap();
    let progress = load.progress();
    let rounds = scaled(1, 10);
    for round in 0..rounds {
        for (at_order, at_inventory) in STALLS {
            let order = stall_at(&cluster, "order-service", at_order);
            let inventory = stall_at(&cluster, "inventory-service", at_inventory);
            let (order, inventory) = tokio::join!(order, inventory);
            let others = ["gateway", "customer-service"].map(|name| cluster.copies_of(name)[0].clone());
            let stalled = [vec![order, inventory], others.into()].concat();
            for other in &stalled[2..] {
                other.signal(Signal::STOP).await.unwrap();
            }
            sleep(Duration::from_secs(if round % 2 == 0 { STALL_SECONDS } else { LONG_STALL_SECONDS })).await;
            for program in stalled {
                program.signal(Signal::CONT).await.unwrap();
            }
            progress.reaches(progress.placed() + 20, Duration::from_secs(30)).await.unwrap();
        }
    }
    cluster.ready().await.unwrap();
    println!("{rounds} stalls at each of {} pairs of failpoints; {}", STALLS.len(), load.log().summary());
    assert_promises_kept(&cluster, load).await;
}

/// Waits until a copy stops itself at a failpoint, while the other copy is away and leaves everything to it. Then the
/// other copy takes over.
async fn stall_at(cluster: &Cluster, service: &str, failpoint: Failpoint) -> Arc<Program> {
    let copies = cluster.copies_of(service);
    let [stalled, other] = &copies[..] else { panic!("two copies of {service}") };
    stalled.kill().await.unwrap();
    arm(stalled, "stop", failpoint);
    stalled.start().await.unwrap();
    other.terminate().await.unwrap();
    stalled.stopped_itself().await.unwrap();
    other.start().await.unwrap();
    Arc::clone(stalled)
}
