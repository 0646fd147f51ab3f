//! A service stands still for longer than its holds and leases last, and goes on as if nothing had been.

use std::time::Duration;

use testkit::Signal;
use tokio::time::sleep;

use crate::checker::assert_promises_kept;
use crate::load::{Habits, Load};
use crate::plant::{Plant, Shape};
use crate::scale::scaled;

#[tokio::test(flavor = "multi_thread")]
async fn services_that_stand_still_beyond_hold_and_lease_do_no_harm() {
    let variables = vec![("RESERVATION_HOLD", "1s".to_owned())];
    let shape = Shape { copies: 2, variables, ..Shape::default() };
    let plant = Plant::distributed("stalls", shape).await.unwrap();
    let load = Load::start(&plant, scaled(6, 16), Habits::default()).await.unwrap();
    let pulse = load.pulse();
    for _ in 0..scaled(1, 10) {
        for service in ["order-service", "inventory-service", "customer-service"] {
            pulse.reaches(pulse.placed() + 20, Duration::from_secs(30)).await.unwrap();
            let stalled = &plant.copies_of(service)[rand::random_range(0..2)];
            sleep(Duration::from_millis(rand::random_range(0..200))).await;
            stalled.signal(Signal::STOP).await.unwrap();
            sleep(Duration::from_secs(7)).await;
            stalled.signal(Signal::CONT).await.unwrap();
        }
    }
    println!("{}", load.log().summary());
    assert_promises_kept(&plant, load).await;
}
