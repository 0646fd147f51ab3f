use anyhow::Result;

use crate::bench::Bench;
use crate::figures::take_turns;
use crate::report::{Aim, Row, ratio};
use crate::system::{Catalogue, FourProcesses};
use crate::wrk::Requests;

pub(super) const NAME: &str = "stored_orders";
pub(super) const ABOUT: &str =
    "10,000 against 200,000 (--scale full: 10,000,000) orders stored, at 64 connections";

/// How much the latency may grow.
const GROWTH: f64 = 1.5;
const CONNECTIONS: usize = 64;

pub(super) async fn run(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let (few, many) = (bench.orders(), bench.options.many_orders());
    let systems = (
        bench.new_system(Catalogue::default(), few).await?,
        bench.new_system(Catalogue::default(), many).await?,
    );
    let (of_few, of_many) = (work(bench, &systems.0, few).await?, work(bench, &systems.1, many).await?);
    let mut rows = Vec::new();
    for ((name, in_few), (_, in_many)) in of_few.iter().zip(&of_many) {
        let [of_few, of_many] = take_turns(
            bench.options.rounds(),
            [
                Box::new(|| Box::pin(bench.load_system(&systems.0, in_few, CONNECTIONS))),
                Box::new(|| Box::pin(bench.load_system(&systems.1, in_many, CONNECTIONS))),
            ],
        )
        .await?;
        let growth = ratio(of_many.p99_ms, of_few.p99_ms);
        let row = Row::new(NAME, format!("{name}, {many} orders"), of_many)
            .beside(format!("{few} orders"), &of_few);
        rows.push(row.aims("p99 / p99 of the fewer", growth, Aim::AtMost(GROWTH)));
    }
    Ok(rows)
}

/// The requests of each kind of work on one of the systems.
async fn work(
    bench: &Bench<'_>,
    system: &FourProcesses<'_>,
    orders: usize,
) -> Result<Vec<(&'static str, Requests)>> {
    let gateway = system.gateway();
    let spread = format!(
        "SELECT id, customer_id FROM (SELECT id, customer_id, row_number() OVER (ORDER BY id) AS n FROM orders) o
         WHERE n % {} = 0 LIMIT {}",
        (orders / bench.orders()).max(1),
        bench.orders(),
    );
    Ok(vec![
        ("order(id)", gateway.order_requests(&system.orders(&spread).await?).await?.0),
        ("orders(first: 20)", gateway.page_requests().await?.0),
        ("a page deep in the list", gateway.deep_page_requests(&deep(system).await?).await?),
        ("createOrder", gateway.create_requests(true).await?.0),
    ])
}

/// A time before which half of the orders were placed.
async fn deep(system: &FourProcesses<'_>) -> Result<String> {
    let half =
        "SELECT to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') FROM orders
        ORDER BY created_at OFFSET (SELECT count(*) / 2 FROM orders) LIMIT 1";
    system.query(half).await
}
