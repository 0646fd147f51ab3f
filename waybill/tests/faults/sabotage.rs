//! The judge is tested on running systems: the system lacks what keeps a promise, a fault comes, and the judge finds the
//! promise broken. The same faults without the sabotage are `failpoints.rs`, `broker.rs` and `orders_at_once.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use store::failpoint::Failpoint;
use waybill::audit::{Invariant, Violation};

use crate::checker::lasting_violations;
use crate::cluster::{Cluster, RARE, RARE_STOCK, Shape, Whose};
use crate::failpoints::end_leases;
use crate::load::{Basket, CUSTOMERS, Load, WorkloadConfig};
use crate::scale::scaled;

const LIVENESS: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn without_the_outbox_events_are_found_missing() {
    let cluster = sabotaged("without-outbox").await;
    let load = Load::start(&cluster, 6, WorkloadConfig::default()).await.unwrap();
    orders_are_killed_after_their_commit(&cluster, &load, "without-outbox").await;
    assert_found(&cluster, load, "without the outbox", Invariant::I6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_deduplication_orders_are_found_twice() {
    let cluster = sabotaged("without-deduplication").await;
    let load = Load::start(&cluster, 6, WorkloadConfig::default()).await.unwrap();
    orders_are_killed_after_their_commit(&cluster, &load, "without-deduplication").await;
    assert_found(&cluster, load, "without deduplication", Invariant::I1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_confirms_accepted_orders_are_found_lost() {
    let cluster = sabotaged("without-confirms").await;
    let load = Load::start(&cluster, 12, WorkloadConfig::default()).await.unwrap();
    let progress = load.progress();
    for _ in 0..scaled(1, 5) {
        progress.reaches(progress.placed() + 10, LIVENESS).await.unwrap();
        cluster.broker().pause().unwrap();
        // A paused broker confirms nothing, so that no client should be answered that these are accepted.
        progress.reaches(progress.placed() + 12, LIVENESS).await.unwrap();
        // A gateway that lives on places again what it has accepted and no event tells of.
        for gateway in cluster.copies_of("gateway") {
            gateway.kill().await.unwrap();
        }
        cluster.broker().restart().await.unwrap();
        for gateway in cluster.copies_of("gateway") {
            gateway.start().await.unwrap();
        }
    }
    cluster.ready().await.unwrap();
    assert_found(&cluster, load, "without confirms", Invariant::I1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_stock_guard_more_is_found_sold_than_there_is() {
    let cluster = sabotaged("without-stock-guard").await;
    let load = Load::start(&cluster, 0, WorkloadConfig::default()).await.unwrap();
    // The constraint would prevent it.
    cluster
        .tables
        .run(Whose::Inventory, "ALTER TABLE products DROP CONSTRAINT products_stock")
        .await
        .unwrap();
    let apis = CUSTOMERS.map(|customer| cluster.api(customer).unwrap());
    let clients = 2 * usize::try_from(RARE_STOCK).unwrap();
    join_all((0..clients).map(|client| load.buy(&apis[client % apis.len()], Basket::single(RARE)))).await;
    assert_found(&cluster, load, "without the stock guard", Invariant::I4).await;
}

/// A cluster whose processes all have these sabotages.
async fn sabotaged(words: &str) -> Cluster {
    let variables = vec![("WAYBILL_SABOTAGE", words.to_owned())];
    Cluster::distributed(words, Shape { variables, ..Shape::default() }).await.unwrap()
}

/// Commands are delivered again, and events wait for the next relay. In between the system works.
async fn orders_are_killed_after_their_commit(cluster: &Cluster, load: &Load, words: &str) {
    let (victim, progress) = (&cluster.copies_of("order-service")[0], load.progress());
    let at = Failpoint::AfterCommitBeforeAnswer;
    victim.kill().await.unwrap();
    end_leases(cluster).await;
    for _ in 0..scaled(3, 20) {
        victim.sabotage(format!("{words} kill@{at}:{}", rand::random_range(5..15)));
        victim.start().await.unwrap();
        victim.killed_itself().await.unwrap();
        end_leases(cluster).await;
    }
    victim.sabotage(words);
    victim.start().await.unwrap();
    victim.ready().await.unwrap();
    progress.reaches(progress.placed() + 20, LIVENESS).await.unwrap();
}

#[expect(clippy::print_stdout, reason = "what is found is the figure that this measures")]
async fn assert_found(cluster: &Cluster, load: Load, sabotage: &str, invariant: Invariant) {
    let summary = load.log().summary();
    let violations = lasting_violations(cluster, load).await;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for violation in &violations {
        *counts.entry(format!("{:?}", violation.invariant)).or_default() += 1;
    }
    println!("{sabotage}: violations {counts:?}; {summary}");
    let found: Vec<&Violation> =
        violations.iter().filter(|violation| violation.invariant == invariant).collect();
    let example =
        found.first().unwrap_or_else(|| panic!("{invariant:?} was not found broken: {violations:?}"));
    println!("such as {example}");
}
