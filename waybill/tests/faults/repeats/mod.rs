//! Every message is delivered three times; messages are late, and newer ones overtake them.

mod script;

use std::time::Duration;

use bus::topology::WorkQueue;
use schema::pattern::Service;
use tokio::time::sleep;

use crate::checker::assert_promises_kept;
use crate::cluster::{Cluster, Duplicated, DuplicatingProxy, ReorderingProxy, Shape};
use crate::load::{Load, WorkloadConfig};
use crate::scale::scaled;

/// How late a copy may come: after most changes of an order.
const LATEST: Duration = Duration::from_secs(3);
/// The longest that the proxy keeps a message of a work queue, and a request, whose caller waits.
const WORK_DELAY: Duration = Duration::from_millis(1_200);
const REQUEST_DELAY: Duration = Duration::from_millis(250);

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_come_three_times_late_and_out_of_order_do_what_they_do_once() {
    let cluster = Cluster::distributed("repeats", Shape { copies: 2, ..Shape::default() }).await.unwrap();
    let bus = cluster.bus().await.unwrap();
    let duplicating_proxy = DuplicatingProxy::start(cluster.broker(), LATEST).await.unwrap();
    let load = Load::start(&cluster, scaled(4, 16), WorkloadConfig::default()).await.unwrap();
    let work = WorkQueue::ALL.map(|queue| bus.topology().work(queue));
    let requests = Service::ALL.map(|service| bus.topology().requests(service));
    let reordering = [
        ReorderingProxy::start(&bus, &work, WORK_DELAY).await.unwrap(),
        ReorderingProxy::start(&bus, &requests, REQUEST_DELAY).await.unwrap(),
    ];
    let progress = load.progress();
    progress
        .reaches(scaled(100, 2_000) as u64, Duration::from_secs(scaled(120, 1_800) as u64))
        .await
        .unwrap();
    let taken = reordering.iter().map(ReorderingProxy::taken).collect::<Vec<_>>();
    drop(reordering);
    println!("{taken:?} messages of work and requests reordered; {}", load.log().summary());
    assert!(taken.iter().all(|&taken| taken > 50), "few messages were overtaken: {taken:?}");
    // Copies still arrive while the system comes to rest.
    assert_promises_kept(&cluster, load).await;
    let duplicated = duplicating_proxy.end().await;
    println!("{duplicated:?}");
    assert_all_duplicated(duplicated);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_orders_and_changes_come_to_the_same_state_however_often_messages_come() {
    let steps = scaled(24, 150);
    let clean = {
        let cluster = Cluster::distributed("repeats-clean", Shape::default()).await.unwrap();
        script::run(&cluster, steps).await.unwrap()
    };
    let cluster =
        Cluster::distributed("repeats-disturbed", Shape { copies: 2, ..Shape::default() }).await.unwrap();
    let bus = cluster.bus().await.unwrap();
    let duplicating_proxy = DuplicatingProxy::start(cluster.broker(), LATEST).await.unwrap();
    let work = WorkQueue::ALL.map(|queue| bus.topology().work(queue));
    let reordering_proxy = ReorderingProxy::start(&bus, &work, WORK_DELAY).await.unwrap();
    let disturbed = script::run(&cluster, steps).await.unwrap();
    let taken = reordering_proxy.taken();
    drop(reordering_proxy);
    let duplicated = duplicating_proxy.end().await;
    // The last copies are in queues; their effects would show by then.
    sleep(LATEST).await;
    println!("{steps} orders, {taken} reordered, {duplicated:?}, {} lines of final state", clean.len());
    assert!(clean.len() > steps && taken > 0);
    assert_eq!(disturbed, clean);
    assert_eq!(script::final_state(&cluster).await.unwrap(), clean, "after the last copies");
    assert_all_duplicated(duplicated);
}

/// Nearly: a late copy of a reply may find that the reply queue is gone.
fn assert_all_duplicated(duplicated: Duplicated) {
    assert!(
        duplicated.messages > 0 && duplicated.copies >= 2 * duplicated.messages * 99 / 100,
        "{duplicated:?}"
    );
}
