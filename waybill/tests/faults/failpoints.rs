//! Processes kill themselves at failpoints, between two effects.

use std::time::Duration;

use store::failpoint::Failpoint;
use tokio::time::{Instant, sleep};

use crate::checker::assert_promises_kept;
use crate::cluster::{Cluster, Program, Shape, Whose};
use crate::load::{Load, WorkloadConfig};
use crate::scale::scaled;

/// How often a failpoint may be passed before it strikes, at the most: beyond a batch or two, other moments come.
const PASSES: u32 = 6;

/// Longer than what hangs does.
const UNTIL_IT_GOES_ON: Duration = Duration::from_secs(8);

const ORDERS: &str = "order-service";
const INVENTORY: &str = "inventory-service";
const FAILPOINTS: [(&str, Failpoint); 8] = [
    (ORDERS, Failpoint::AfterReserveBeforeCommit),
    (ORDERS, Failpoint::AfterCommitBeforeAnswer),
    (ORDERS, Failpoint::AfterChangeBeforeReply),
    (ORDERS, Failpoint::AfterNumberingBeforePublish),
    (ORDERS, Failpoint::AfterPublishBeforeMark),
    (INVENTORY, Failpoint::AfterHoldBeforeReply),
    (INVENTORY, Failpoint::AfterFollowBeforeAck),
    (INVENTORY, Failpoint::ReleaseBeforeCommit),
];

#[tokio::test(flavor = "multi_thread")]
async fn services_are_killed_at_every_failpoint() {
    let cluster = Cluster::distributed("failpoints", Shape::default()).await.unwrap();
    let load = Load::start(&cluster, scaled(8, 16), WorkloadConfig::default()).await.unwrap();
    for (service, failpoint) in FAILPOINTS {
        kill_at(&cluster, &cluster.copies_of(service)[0], failpoint, scaled(3, 100)).await;
    }
    println!("{}", load.log().summary());
    assert_promises_kept(&cluster, load).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_system_is_killed_at_every_failpoint() {
    let cluster = Cluster::embedded("failpoints-embedded", Shape::default()).await.unwrap();
    let load = Load::start(&cluster, scaled(6, 16), WorkloadConfig::default()).await.unwrap();
    for (_, failpoint) in FAILPOINTS {
        kill_at(&cluster, &cluster.programs[0], failpoint, scaled(2, 100)).await;
    }
    println!("{}", load.log().summary());
    assert_promises_kept(&cluster, load).await;
}

#[expect(clippy::print_stdout, reason = "what the runs measured")]
async fn kill_at(cluster: &Cluster, victim: &Program, failpoint: Failpoint, kills: usize) {
    let begun = Instant::now();
    victim.kill().await.unwrap();
    for _ in 0..kills {
        arm(victim, "kill", failpoint);
        victim.start().await.unwrap();
        victim.killed_itself().await.unwrap();
        end_leases(cluster).await;
    }
    victim.sabotage("");
    victim.start().await.unwrap();
    victim.ready().await.unwrap();
    println!("{} was killed {kills} times {} within {:.0?}", victim.name, failpoint, begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn inventory_is_killed_while_it_releases_holds_without_an_order() {
    let variables = vec![("RESERVATION_HOLD", "2s".to_owned())];
    let cluster =
        Cluster::distributed("voids", Shape { copies: 2, variables, ..Shape::default() }).await.unwrap();
    let load = Load::start(&cluster, scaled(6, 16), WorkloadConfig::default()).await.unwrap();
    // It hangs with stock held and the command unacknowledged, and goes on answering what became of its orders: none came.
    let hanging = &cluster.copies_of(ORDERS)[0];
    let copies = cluster.copies_of(INVENTORY);
    let [victim, other] = &copies[..] else { panic!("two copies") };
    // Whatever is to be given back comes to the victim.
    other.terminate().await.unwrap();
    let kills = scaled(2, 100);
    for kill in 0..kills {
        hanging.kill().await.unwrap();
        arm(hanging, "hang", Failpoint::AfterReserveBeforeCommit);
        hanging.start().await.unwrap();
        testkit::eventually("it hangs", async || {
            hanging.said("fault injected").await.is_ok_and(|times| times > 0)
        })
        .await;
        victim.kill().await.unwrap();
        victim.sabotage(format!("kill@{}:1", Failpoint::AfterVoidBeforeRelease));
        victim.start().await.unwrap();
        victim.killed_itself().await.unwrap();
        victim.sabotage("");
        victim.start().await.unwrap();
        if kill % 10 == 0 {
            // It finds that its hold is void.
            sleep(UNTIL_IT_GOES_ON).await;
        }
    }
    other.start().await.unwrap();
    cluster.ready().await.unwrap();
    println!("{kills} kills while giving back; {}", load.log().summary());
    assert_promises_kept(&cluster, load).await;
}

/// Has it struck at one of its next passes, once it is started again.
pub(crate) fn arm(victim: &Program, blow: &str, failpoint: Failpoint) {
    victim.sabotage(format!("{blow}@{}:{}", failpoint, rand::random_range(1..=PASSES)));
}

/// Ends the lease of a dead copy at once, so that many can die. Waiting for it is tested elsewhere.
pub(crate) async fn end_leases(cluster: &Cluster) {
    cluster
        .tables
        .run(Whose::Orders, "UPDATE order_leases SET expires_at = CURRENT_TIMESTAMP")
        .await
        .unwrap();
}
