//! The broker refuses what the processes ask of it, and later doesn't.

use std::time::Duration;

use schema::pattern::Service;
use tokio::time::sleep;

use crate::checker::assert_promises_kept;
use crate::load::{Habits, Load};
use crate::plant::{Plant, Program, Shape};
use crate::scale::scaled;

const LIVENESS: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_no_longer_do_anything_says_so_and_goes_on_once_he_may() {
    let plant = Plant::distributed("revoked", Shape::default()).await.unwrap();
    let load = Load::start(&plant, 4, Habits::default()).await.unwrap();
    let api = plant.api("CUST01").unwrap();
    load.pulse().reaches(20, LIVENESS).await.unwrap();

    plant.broker().ctl(&["set_permissions", "guest", "^$", "^$", "^$"]).await.unwrap();
    plant.broker().ctl(&["close_all_connections", "permissions have changed"]).await.unwrap();
    for program in &plant.programs {
        is_told(program, "ACCESS_REFUSED").await;
    }
    sleep(Duration::from_secs(scaled(2, 15) as u64)).await;

    plant.broker().ctl(&["set_permissions", "guest", ".*", ".*", ".*"]).await.unwrap();
    plant.ready().await.unwrap();
    let healed = load.decided(&api).await;
    println!("an order was decided {healed:?} after all were ready; {}", load.log().summary());
    assert_promises_kept(&plant, load).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_with_other_arguments_is_said_and_replaced_once_it_is_gone() {
    let plant = Plant::distributed("arguments", Shape::default()).await.unwrap();
    let load = Load::start(&plant, 4, Habits::default()).await.unwrap();
    let (bus, api) = (plant.bus().await.unwrap(), plant.api("CUST01").unwrap());
    load.pulse().reaches(20, LIVENESS).await.unwrap();
    for (service, name) in
        [(Service::Customer, "customer-service"), (Service::Inventory, "inventory-service")]
    {
        let queue = bus.topology().requests(service);
        plant.broker().ctl(&["eval", &replace(&queue)]).await.unwrap();
        is_told(&plant.copies_of(name)[0], "PRECONDITION_FAILED").await;
        let report = plant.operator(&["doctor"]).await.unwrap_err().to_string();
        assert!(report.contains(&queue), "{report}");

        plant.broker().ctl(&["delete_queue", &queue]).await.unwrap();
        plant.ready().await.unwrap();
        let healed = load.decided(&api).await;
        println!("{queue} was another: an order was decided {healed:?} after all were ready");
    }
    println!("{}", load.log().summary());
    assert_promises_kept(&plant, load).await;
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

/// Puts another queue in this one's place, at once, so that nobody comes in between.
fn replace(queue: &str) -> String {
    format!(
        "Name = rabbit_misc:r(<<\"/\">>, queue, <<\"{queue}\">>), \
         {{ok, Queue}} = rabbit_amqqueue:lookup(Name), \
         {{ok, _}} = rabbit_amqqueue:delete(Queue, false, false, <<\"tests\">>), \
         {{new, _}} = rabbit_amqqueue:declare(Name, true, false, [{{<<\"x-max-length\">>, long, 7}}], none, \
         <<\"tests\">>), ok."
    )
}
