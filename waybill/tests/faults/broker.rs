//! RabbitMQ is killed, paused, or full, while orders come in.

use std::time::Duration;

use testkit::eventually;
use tokio::time::sleep;

use crate::checker::assert_promises_kept;
use crate::cluster::{Cluster, ENDLESS, Shape};
use crate::load::{Attempt, Basket, ClientLog, Load, WorkloadConfig};
use crate::scale::{is_full, scaled};

/// How long the first order may take once the broker answers again, for tests that share their machine.
const LIVENESS: Duration = Duration::from_secs(30);
/// The bound that is promised, judged at full scale.
const PROMISED: Duration = Duration::from_secs(5);
const PREFETCH: &str = "37";
const REQUEST_QUEUES: [&str; 3] =
    ["waybill.order.requests", "waybill.inventory.requests", "waybill.customer.requests"];
const WORK_QUEUES: [&str; 2] = ["waybill.order.commands", "waybill.inventory.order-events"];

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_is_killed_and_restarted_under_load() {
    let variables = vec![("PREFETCH", PREFETCH.to_owned())];
    let cluster = Cluster::distributed("broker-kill", Shape { variables, ..Shape::default() }).await.unwrap();
    let load = Load::start(&cluster, scaled(8, 16), WorkloadConfig::default()).await.unwrap();
    let progress = load.progress();
    let mut slowest = Duration::ZERO;
    let rounds = scaled(2, 20);
    for _ in 0..rounds {
        progress.reaches(progress.placed() + 25, LIVENESS).await.unwrap();
        cluster.broker().restart().await.unwrap();
        let first = progress.next(LIVENESS).await.unwrap();
        slowest = slowest.max(first);
        assert_prefetch_as_configured(&cluster).await;
    }
    println!(
        "{rounds} kills of the broker, first order {slowest:?} after it at the most; {}",
        load.log().summary()
    );
    if is_full() {
        assert!(slowest <= PROMISED, "the first order came {slowest:?} after the broker");
    }
    assert_promises_kept(&cluster, load).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_stands_still_makes_callers_wait_no_longer_than_their_deadline() {
    let cluster = Cluster::distributed("broker-pause", Shape::default()).await.unwrap();
    let load = Load::start(&cluster, scaled(6, 16), WorkloadConfig::default()).await.unwrap();
    let progress = load.progress();
    progress.reaches(30, LIVENESS).await.unwrap();

    cluster.broker().pause().unwrap();
    sleep(Duration::from_secs(scaled(12, 30) as u64)).await;
    cluster.broker().resume().unwrap();
    let first = progress.next(LIVENESS).await.unwrap();

    let (slowest, answer) = load.log().slowest_answer();
    println!(
        "first order {first:?} after the broker went on; slowest answer {slowest:?} ({answer}); {}",
        load.log().summary()
    );
    // The default deadline is 5 s; a shared machine needs more.
    let bound = Duration::from_millis(if is_full() { 5_100 } else { 8_000 });
    assert!(slowest <= bound, "an answer took {slowest:?}: {answer}");
    assert_faults_are_named(load.log());
    assert_promises_kept(&cluster, load).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_memory_alarm_refuses_orders_at_once_and_loses_none() {
    let cluster = Cluster::distributed("broker-alarm", Shape::default()).await.unwrap();
    let load = Load::start(&cluster, scaled(6, 16), WorkloadConfig::default()).await.unwrap();
    let progress = load.progress();
    progress.reaches(30, LIVENESS).await.unwrap();
    let before = resident_kib(&cluster).await;

    cluster.broker().ctl(&["set_vm_memory_high_watermark", "0.0001"]).await.unwrap();
    let api = cluster.api("CUST01").unwrap();
    let refused = eventually("orders are refused as retryable", async || {
        load.refusal(&api, Basket::single(ENDLESS[0])).await
    })
    .await;
    for _ in 0..10 {
        let again =
            load.refusal(&api, Basket::single(ENDLESS[0])).await.expect("refused again, as retryable");
        assert!(again < Duration::from_secs(1), "refused after {again:?}");
    }
    assert_all_acknowledged(&cluster).await;
    sleep(Duration::from_secs(scaled(5, 30) as u64)).await;
    let growth = resident_kib(&cluster).await.saturating_sub(before);
    cluster.broker().ctl(&["set_vm_memory_high_watermark", "0.6"]).await.unwrap();
    let first = progress.next(LIVENESS).await.unwrap();

    println!(
        "refused within {refused:?}, memory grew by {growth} KiB, first order {first:?} after the alarm; {}",
        load.log().summary()
    );
    assert!(refused < Duration::from_secs(1), "refused after {refused:?}");
    assert!(growth < 50 * 1_024, "memory grew by {growth} KiB");
    assert_promises_kept(&cluster, load).await;
}

/// A client that can't be served for a while is answered one of two codes.
pub(crate) fn assert_faults_are_named(log: &ClientLog) {
    let named = ["DEADLINE_EXCEEDED", "SERVICE_UNAVAILABLE"];
    let answers = log.answers();
    let others: Vec<&str> =
        answers.iter().filter_map(Attempt::fault).filter(|fault| !named.contains(fault)).collect();
    assert!(others.is_empty(), "{} other faults: {:?}", others.len(), &others[..others.len().min(5)]);
}

/// Each shared queue has its consumer, with the prefetch that is configured.
async fn assert_prefetch_as_configured(cluster: &Cluster) {
    let arguments = ["list_consumers", "queue_name", "prefetch_count", "--silent"];
    eventually("every consumer is back", async || {
        let consumers = cluster.broker().ctl(&arguments).await?;
        for queue in WORK_QUEUES.into_iter().chain(REQUEST_QUEUES) {
            let of_queue = consumers.lines().filter_map(|line| line.strip_prefix(queue)?.strip_prefix('\t'));
            let prefetch: Vec<&str> = of_queue.map(str::trim).collect();
            anyhow::ensure!(prefetch == [PREFETCH], "{queue} is consumed with prefetch {prefetch:?}");
        }
        anyhow::Ok(())
    })
    .await;
}

/// What was delivered is acknowledged, also while nothing can be published.
async fn assert_all_acknowledged(cluster: &Cluster) {
    let arguments = ["list_queues", "name", "messages_unacknowledged", "--silent"];
    eventually("everything that was delivered is acknowledged", async || {
        let queues = cluster.broker().ctl(&arguments).await?;
        for queue in WORK_QUEUES {
            let of_queue = queues.lines().filter_map(|line| line.strip_prefix(queue)?.strip_prefix('\t'));
            let unacknowledged: Vec<&str> = of_queue.map(str::trim).collect();
            anyhow::ensure!(unacknowledged == ["0"], "{queue} has {unacknowledged:?} unacknowledged");
        }
        anyhow::Ok(())
    })
    .await;
}

/// The resident memory of all processes.
async fn resident_kib(cluster: &Cluster) -> u64 {
    let mut sum = 0;
    for program in &cluster.programs {
        sum += program.resident_kib().await.unwrap();
    }
    sum
}
