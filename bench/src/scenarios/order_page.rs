use anyhow::Result;

use crate::bench::Bench;
use crate::figures::take_turns;
use crate::floors::GraphQlFloor;
use crate::report::Row;

pub(super) const NAME: &str = "order_page";
pub(super) const ABOUT: &str = "orders(first: 20) with customer, line items and products, at 64 connections";

/// The share of C's rate to be reached.
const OF_C: f64 = 0.3;
const CONNECTIONS: usize = 64;

pub(super) async fn run(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let system = bench.system().await?;
    let (requests, answer) = system.gateway().page_requests().await?;
    let c = GraphQlFloor::start(&answer).await?;
    let [work, of_c] = take_turns(
        bench.options.rounds(),
        [
            Box::new(|| Box::pin(bench.load_system(system, &requests, CONNECTIONS))),
            Box::new(|| {
                Box::pin(async { bench.load(&requests, &c.address, CONNECTIONS, &c.watched()).await })
            }),
        ],
    )
    .await?;
    let row = Row::new(NAME, format!("{CONNECTIONS} connections"), work);
    Ok(vec![row.aims_at_rate_of("C", &of_c, OF_C)])
}
