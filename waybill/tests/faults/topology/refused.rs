//! The broker refuses what the processes ask of it, and later doesn't.

use std::time::Duration;

use schema::pattern::Service;
use tokio::time::sleep;

use crate::checker::assert_promises_kept;
use crate::cluster::{Cluster, Program, Shape};
use crate::load::{Load, WorkloadConfig};
use crate::scale::scaled;

const LIVENESS: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_permissions_reports_it_and_recovers_once_it_has_them() {
    let cluster = Cluster::distributed("revoked", Shape::default()).await.unwrap();
    let load = Load::start(&cluster, 4, WorkloadConfig::default()).await.unwrap();
    let api = cluster.api("CUST01").unwrap();
    load.progress().reaches(20, LIVENESS).await.unwrap();

    cluster.broker().ctl(&["set_permissions", "guest", "^$", "^$", "^$"]).await.unwrap();
    cluster.broker().ctl(&["close_all_connections", "permissions have changed"]).await.unwrap();
    for program in &cluster.programs {
        is_told(program, "ACCESS_REFUSED").await;
    }
    sleep(Duration::from_secs(scaled(2, 15) as u64)).await;

    cluster.broker().ctl(&["set_permissions", "guest", ".*", ".*", ".*"]).await.unwrap();
    cluster.ready().await.unwrap();
    let healed = load.decided(&api).await;
    println!("an order was decided {healed:?} after all were ready; {}", load.log().summary());
    assert_promises_kept(&cluster, load).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_with_other_arguments_is_said_and_replaced_once_it_is_gone() {
    let cluster = Cluster::distributed("arguments", Shape::default()).await.unwrap();
    let load = Load::start(&cluster, 4, WorkloadConfig::default()).await.unwrap();
    let (bus, api) = (cluster.bus().await.unwrap(), cluster.api("CUST01").unwrap());
    load.progress().reaches(20, LIVENESS).await.unwrap();
    for (service, name) in
        [(Service::Customer, "customer-service"), (Service::Inventory, "inventory-service")]
    {
        let queue = bus.topology().requests(service);
        cluster.broker().ctl(&["eval", &replace(&queue)]).await.unwrap();
        is_told(&cluster.copies_of(name)[0], "PRECONDITION_FAILED").await;
        let report = cluster.operator(&["doctor"]).await.unwrap_err().to_string();
        assert!(report.contains(&queue), "{report}");

        cluster.broker().ctl(&["delete_queue", &queue]).await.unwrap();
        cluster.ready().await.unwrap();
        let healed = load.decided(&api).await;
        println!("{queue} was another: an order was decided {healed:?} after all were ready");
    }
    println!("{}", load.log().summary());
    assert_promises_kept(&cluster, load).await;
}

async fn is_told(program: &Program, error: &str) {
    testkit::eventually("it is not ready, and says why", async || {
        let missing = program.missing().await?;
        anyhow::ensure!(!missing.is_empty(), "{} is ready", program.name);
        anyhow::ensure!(program.said(error).await? > 0, "{} says nothing of {error}", program.name);
        anyhow::Ok(())
    })
    .await;
}

/// Puts another queue in this one's place at once, so that no process declares it in between.
fn replace(queue: &str) -> String {
    format!(
        "Name = rabbit_misc:r(<<\"/\">>, queue, <<\"{queue}\">>), \
         {{ok, Queue}} = rabbit_amqqueue:lookup(Name), \
         {{ok, _}} = rabbit_amqqueue:delete(Queue, false, false, <<\"tests\">>), \
         {{new, _}} = rabbit_amqqueue:declare(Name, true, false, [{{<<\"x-max-length\">>, long, 7}}], none, \
         <<\"tests\">>), ok."
    )
}
