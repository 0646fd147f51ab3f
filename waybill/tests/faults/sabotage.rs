//! The checker is checked: the system goes without what keeps a promise, a fault comes, and the checker finds the promise
//! broken. The same faults without the sabotage are `failpoints.rs`, `broker.rs` and `orders_at_once.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use store::failpoint::Failpoint;

use crate::checker::{Promise, Violation, lasting_violations};
use crate::failpoints::end_leases;
use crate::load::{Basket, CUSTOMERS, Habits, Load};
use crate::plant::{Plant, RARE, RARE_STOCK, Shape, Whose};
use crate::scale::scaled;

const LIVENESS: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn without_the_outbox_events_are_found_missing() {
    let plant = sabotaged("without-outbox").await;
    let load = Load::start(&plant, 6, Habits::default()).await.unwrap();
    orders_are_killed_after_their_commit(&plant, &load, "without-outbox").await;
    assert_found(&plant, load, "without the outbox", Promise::EventsAreTold).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_deduplication_orders_are_found_twice() {
    let plant = sabotaged("without-deduplication").await;
    let load = Load::start(&plant, 6, Habits::default()).await.unwrap();
    orders_are_killed_after_their_commit(&plant, &load, "without-deduplication").await;
    assert_found(&plant, load, "without deduplication", Promise::EveryOkHasOneOrder).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_confirms_accepted_orders_are_found_lost() {
    let plant = sabotaged("without-confirms").await;
    let load = Load::start(&plant, 12, Habits::default()).await.unwrap();
    let pulse = load.pulse();
    for _ in 0..scaled(1, 5) {
        pulse.reaches(pulse.placed() + 10, LIVENESS).await.unwrap();
        plant.broker().pause().unwrap();
        // A broker that stands still confirms nothing, so nobody should be told that these are accepted.
        pulse.reaches(pulse.placed() + 12, LIVENESS).await.unwrap();
        plant.broker().restart().await.unwrap();
    }
    plant.ready().await.unwrap();
    assert_found(&plant, load, "without confirms", Promise::EveryOkHasOneOrder).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_stock_guard_more_is_found_sold_than_there_is() {
    let plant = sabotaged("without-stock-guard").await;
    let load = Load::start(&plant, 0, Habits::default()).await.unwrap();
    // The database would stop it.
    plant.tables.run(Whose::Inventory, "ALTER TABLE products DROP CONSTRAINT products_stock").await.unwrap();
    let apis = CUSTOMERS.map(|customer| plant.api(customer).unwrap());
    let buyers = 2 * usize::try_from(RARE_STOCK).unwrap();
    join_all((0..buyers).map(|buyer| load.buy(&apis[buyer % apis.len()], Basket::single(RARE)))).await;
    assert_found(&plant, load, "without the stock guard", Promise::StockAgrees).await;
}

/// A plant whose processes all go without something.
async fn sabotaged(words: &str) -> Plant {
    let variables = vec![("WAYBILL_SABOTAGE", words.to_owned())];
    Plant::distributed(words, Shape { variables, ..Shape::default() }).await.unwrap()
}

/// Commands are delivered again, and events wait for whoever comes next. In between all goes well.
async fn orders_are_killed_after_their_commit(plant: &Plant, load: &Load, words: &str) {
    let (victim, pulse) = (&plant.copies_of("order-service")[0], load.pulse());
    let at = Failpoint::AfterCommitBeforeAnswer.name();
    victim.kill().await.unwrap();
    end_leases(plant).await;
    for _ in 0..scaled(3, 20) {
        victim.sabotage(format!("{words} kill@{at}:{}", rand::random_range(5..15)));
        victim.start().await.unwrap();
        victim.killed_itself().await.unwrap();
        end_leases(plant).await;
    }
    victim.sabotage(words);
    victim.start().await.unwrap();
    victim.ready().await.unwrap();
    pulse.reaches(pulse.placed() + 20, LIVENESS).await.unwrap();
}

#[expect(clippy::print_stdout, reason = "what is found is the figure that this measures")]
async fn assert_found(plant: &Plant, load: Load, sabotage: &str, promise: Promise) {
    let summary = load.log().summary();
    let violations = lasting_violations(plant, load).await;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for violation in &violations {
        *counts.entry(violation.promise.to_string()).or_default() += 1;
    }
    println!("{sabotage}: violations {counts:?}; {summary}");
    let found: Vec<&Violation> = violations.iter().filter(|violation| violation.promise == promise).collect();
    let example = found.first().unwrap_or_else(|| panic!("{promise} was not found broken: {violations:?}"));
    println!("such as {example}");
}
