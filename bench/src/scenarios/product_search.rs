use anyhow::Result;

use crate::bench::Bench;
use crate::figures::take_turns;
use crate::report::{Aim, Row, ratio};
use crate::system::Catalogue;

pub(super) const NAME: &str = "product_search";
pub(super) const ABOUT: &str =
    "products(first: 20, search: …) of 100,000 products against 100, at 64 connections";

/// How much the latency may grow.
const GROWTH: f64 = 3.0;
const CONNECTIONS: usize = 64;

pub(super) async fn run(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let products = bench.options.scaled(100_000, 1_000);
    let few = bench.system().await?;
    let many = bench.new_system(Catalogue { products }, 0).await?;
    let (in_few, in_many) = (few.gateway().search_requests().await?, many.gateway().search_requests().await?);
    let [of_few, of_many] = take_turns(
        bench.options.rounds(),
        [
            Box::new(|| Box::pin(bench.load_system(few, &in_few, CONNECTIONS))),
            Box::new(|| Box::pin(bench.load_system(&many, &in_many, CONNECTIONS))),
        ],
    )
    .await?;
    let growth = ratio(of_many.p99_ms, of_few.p99_ms);
    let row = Row::new(NAME, format!("{products} products"), of_many).beside("100 products", &of_few);
    Ok(vec![row.aims("p99 / p99 of 100", growth, Aim::AtMost(GROWTH))])
}
