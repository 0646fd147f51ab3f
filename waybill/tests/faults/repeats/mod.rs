//! Every message is delivered three times; messages are late, and newer ones overtake them.

mod script;

use std::time::Duration;

use bus::topology::WorkQueue;
use schema::pattern::Service;
use tokio::time::sleep;

use crate::checker::assert_promises_kept;
use crate::load::{Habits, Load};
use crate::plant::{Detour, Plant, Repeated, Repeater, Shape};
use crate::scale::scaled;

/// How late a copy may come: later than most of what happens to an order.
const LATEST: Duration = Duration::from_secs(3);
/// How long work takes its detour at the most, and requests, which somebody waits for.
const WORK_DETOUR: Duration = Duration::from_millis(1_200);
const REQUEST_DETOUR: Duration = Duration::from_millis(250);

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_come_three_times_late_and_out_of_order_do_what_they_do_once() {
    let plant = Plant::distributed("repeats", Shape { copies: 2, ..Shape::default() }).await.unwrap();
    let bus = plant.bus().await.unwrap();
    let repeater = Repeater::start(plant.broker(), LATEST).await.unwrap();
    let load = Load::start(&plant, scaled(4, 16), Habits::default()).await.unwrap();
    let work = WorkQueue::ALL.map(|queue| bus.topology().work(queue));
    let requests = Service::ALL.map(|service| bus.topology().requests(service));
    let detours = [
        Detour::start(&bus, &work, WORK_DETOUR).await.unwrap(),
        Detour::start(&bus, &requests, REQUEST_DETOUR).await.unwrap(),
    ];
    let pulse = load.pulse();
    pulse.reaches(scaled(100, 2_000) as u64, Duration::from_secs(scaled(120, 1_800) as u64)).await.unwrap();
    let taken = detours.iter().map(Detour::taken).collect::<Vec<_>>();
    drop(detours);
    println!("{taken:?} detours of work and of requests; {}", load.log().summary());
    assert!(taken.iter().all(|&taken| taken > 50), "few messages were overtaken: {taken:?}");
    // Copies come on while the system comes to rest.
    assert_promises_kept(&plant, load).await;
    let repeated = repeater.end().await;
    println!("{repeated:?}");
    assert_all_repeated(repeated);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_orders_and_changes_come_to_the_same_state_however_often_messages_come() {
    let steps = scaled(24, 150);
    let clean = {
        let plant = Plant::distributed("repeats-clean", Shape::default()).await.unwrap();
        script::run(&plant, steps).await.unwrap()
    };
    let plant =
        Plant::distributed("repeats-disturbed", Shape { copies: 2, ..Shape::default() }).await.unwrap();
    let bus = plant.bus().await.unwrap();
    let repeater = Repeater::start(plant.broker(), LATEST).await.unwrap();
    let work = WorkQueue::ALL.map(|queue| bus.topology().work(queue));
    let detour = Detour::start(&bus, &work, WORK_DETOUR).await.unwrap();
    let disturbed = script::run(&plant, steps).await.unwrap();
    let taken = detour.taken();
    drop(detour);
    let repeated = repeater.end().await;
    // The last copies are in queues; what they do would show by then.
    sleep(LATEST).await;
    println!("{steps} orders, {taken} detours, {repeated:?}, {} lines of books", clean.len());
    assert!(clean.len() > steps && taken > 0);
    assert_eq!(disturbed, clean);
    assert_eq!(script::books(&plant).await.unwrap(), clean, "after the last copies");
    assert_all_repeated(repeated);
}

/// Nearly: a late copy of a reply may find that whoever waited has gone.
fn assert_all_repeated(repeated: Repeated) {
    assert!(repeated.messages > 0 && repeated.copies >= 2 * repeated.messages * 99 / 100, "{repeated:?}");
}
