use std::sync::Mutex;

use anyhow::Result;

use crate::bench::Bench;
use crate::events::NewOrders;
use crate::figures::{median, take_turns};
use crate::floors::{GraphQlFloor, PublishFloor};
use crate::placement::place_in_system;
use crate::report::{Aim, Row, ratio};

pub(super) const NAME: &str = "create_order_without_wait";
pub(super) const ABOUT: &str = "createOrder without wait at 64 connections: accepted, and stored";

/// The share of C's rate to be accepted.
const OF_C: f64 = 0.5;
/// The share of the rate with wait to be stored.
const OF_WAITING: f64 = 1.0;
const CONNECTIONS: usize = 64;
/// The length of an `order.create` of two items.
const COMMAND_BYTES: usize = 420;

pub(super) async fn run(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let system = bench.system().await?;
    let (requests, answer) = system.gateway().create_requests(false).await?;
    let (waiting, _) = system.gateway().create_requests(true).await?;
    let c = GraphQlFloor::start(&answer).await?;
    let p = PublishFloor::start(bench.rabbitmq().await?, COMMAND_BYTES).await?;
    let orders = NewOrders::subscribe(system.gateway()).await?;
    let stored = Mutex::new(Vec::new());
    let [work, with_wait, of_c, of_p] = take_turns(
        bench.options.rounds(),
        [
            Box::new(|| {
                Box::pin(async {
                    let placed = place_in_system(bench, system, &requests, &orders, CONNECTIONS).await?;
                    stored
                        .lock()
                        .expect("nothing panics while it holds this lock")
                        .extend(placed.delivered.per_second);
                    Ok(placed.accepted)
                })
            }),
            Box::new(|| {
                Box::pin(async {
                    Ok(place_in_system(bench, system, &waiting, &orders, CONNECTIONS).await?.delivered)
                })
            }),
            Box::new(|| {
                Box::pin(async { bench.load(&requests, &c.address, CONNECTIONS, &c.watched()).await })
            }),
            Box::new(|| Box::pin(p.run(CONNECTIONS, bench.options.time()))),
        ],
    )
    .await?;
    let stored = median(stored.into_inner().expect("nothing panics while it holds this lock"));
    let row = Row::new(NAME, format!("{CONNECTIONS} connections, accepted"), work)
        .aims_at_rate_of("C", &of_c, OF_C)
        .aims("stored per second", stored, Aim::None)
        .beside("with wait, stored", &with_wait)
        .beside("P", &of_p);
    let of_waiting = ratio(stored, with_wait.per_second);
    Ok(vec![row.aims("stored per second / with wait", of_waiting, Aim::AtLeast(OF_WAITING))])
}
