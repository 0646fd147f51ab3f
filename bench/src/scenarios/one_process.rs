use anyhow::Result;

use crate::bench::Bench;
use crate::events::NewOrders;
use crate::figures::{Figures, median, take_turns};
use crate::floors::GraphQlFloor;
use crate::placement::place;
use crate::report::{Aim, Row};
use crate::system::{Catalogue, OneProcess};

pub(super) const NAME: &str = "one_process";
pub(super) const ABOUT: &str = "`waybill up`: its start, order(id) and createOrder";

const READY_MS: f64 = 150.0;
/// The share of C's rate for order(id).
const OF_C: f64 = 0.8;
const CREATED_PER_SECOND: f64 = 4_000.0;
const CONNECTIONS: usize = 64;

pub(super) async fn run(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let mut system = OneProcess::start(Catalogue::default()).await?;
    let gateway = system.gateway()?.clone();
    let (requests, _) = gateway.create_requests(true).await?;
    let orders = NewOrders::subscribe(&gateway).await?;
    let watched = system.watched()?;
    let [created] = take_turns(
        bench.options.rounds(),
        [Box::new(|| {
            Box::pin(async {
                let placed = place(bench, &[&gateway], &watched, &requests, &orders, CONNECTIONS).await?;
                Ok(placed.delivered)
            })
        })],
    )
    .await?;
    let stored = gateway.newest_orders(bench.orders()).await?;
    let (requests, answer) = gateway.order_requests(&stored).await?;
    let c = GraphQlFloor::start(&answer).await?;
    let [read, of_c] = take_turns(
        bench.options.rounds(),
        [
            Box::new(|| Box::pin(bench.load(&requests, &gateway.address, CONNECTIONS, &watched))),
            Box::new(|| {
                Box::pin(async { bench.load(&requests, &c.address, CONNECTIONS, &c.watched()).await })
            }),
        ],
    )
    .await?;
    drop(orders);
    let mut starts = Vec::new();
    for _ in 0..bench.options.scaled(5, 1) {
        starts.push(system.start_again().await?.as_secs_f64() * 1e3);
    }
    let rate = created.per_second;
    Ok(vec![
        Row::new(NAME, "order(id), 64 connections", read).aims_at_rate_of("C", &of_c, OF_C),
        Row::new(NAME, "createOrder, 64 connections", created).aims(
            "per second",
            rate,
            Aim::AtLeast(CREATED_PER_SECOND),
        ),
        Row::new(NAME, "start on existing data", Figures::default()).aims(
            "ms until ready",
            median(starts),
            Aim::AtMost(READY_MS),
        ),
    ])
}
