use anyhow::Result;

use crate::bench::Bench;
use crate::events::NewOrders;
use crate::figures::take_turns;
use crate::floors::InsertFloor;
use crate::placement::place_in_system;
use crate::report::Row;

pub(super) const NAME: &str = "create_order";
pub(super) const ABOUT: &str =
    "createOrder with wait, until stored and its event delivered, at 64 and 512 connections";

/// The share of T's rate to be reached.
const OF_T: f64 = 0.75;

pub(super) async fn run(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let system = bench.system().await?;
    let (requests, _) = system.gateway().create_requests(true).await?;
    let t = InsertFloor::start(bench.postgres().await?, system).await?;
    let orders = NewOrders::subscribe(system.gateway()).await?;
    let mut rows = Vec::new();
    for connections in [64, bench.options.many_connections()] {
        let [work, of_t] = take_turns(
            bench.options.rounds(),
            [
                Box::new(|| {
                    Box::pin(async {
                        let placed = place_in_system(bench, system, &requests, &orders, connections).await?;
                        Ok(placed.delivered)
                    })
                }),
                Box::new(|| Box::pin(t.run(bench.options.time()))),
            ],
        )
        .await?;
        let row = Row::new(NAME, format!("{connections} connections"), work);
        rows.push(row.aims_at_rate_of("T", &of_t, OF_T));
    }
    Ok(rows)
}
