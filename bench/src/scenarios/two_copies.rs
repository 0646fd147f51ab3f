use anyhow::Result;

use crate::bench::Bench;
use crate::events::NewOrders;
use crate::figures::take_turns;
use crate::placement::place_in_system;
use crate::report::Row;
use crate::system::Catalogue;

pub(super) const NAME: &str = "two_copies";
pub(super) const ABOUT: &str = "two gateways and two order-services against one each, at 64 connections";

/// The share of one copy's rate that two copies reach: on a machine whose cores are busy they gain nothing.
const OF_ONE: f64 = 1.0;
const CONNECTIONS: usize = 64;

pub(super) async fn run(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let one = bench.new_system(Catalogue::default(), bench.orders()).await?;
    let mut two = bench.new_system(Catalogue::default(), bench.orders()).await?;
    two.start_copy("order-service").await?;
    two.start_copy("gateway").await?;
    let (of_one, of_two) =
        (one.oldest_orders(bench.orders()).await?, two.oldest_orders(bench.orders()).await?);
    let read =
        (one.gateway().order_requests(&of_one).await?.0, two.gateway().order_requests(&of_two).await?.0);
    let [reads_one, reads_two] = take_turns(
        bench.options.rounds(),
        [
            Box::new(|| Box::pin(bench.load_system(&one, &read.0, CONNECTIONS))),
            Box::new(|| Box::pin(bench.load_system(&two, &read.1, CONNECTIONS))),
        ],
    )
    .await?;
    let (created, _) = one.gateway().create_requests(true).await?;
    let orders = (NewOrders::subscribe(one.gateway()).await?, NewOrders::subscribe(two.gateway()).await?);
    let [created_one, created_two] = take_turns(
        bench.options.rounds(),
        [
            Box::new(|| {
                Box::pin(async {
                    Ok(place_in_system(bench, &one, &created, &orders.0, CONNECTIONS).await?.delivered)
                })
            }),
            Box::new(|| {
                Box::pin(async {
                    Ok(place_in_system(bench, &two, &created, &orders.1, CONNECTIONS).await?.delivered)
                })
            }),
        ],
    )
    .await?;
    Ok(vec![
        Row::new(NAME, "order(id)", reads_two).aims_at_rate_of("one copy", &reads_one, OF_ONE),
        Row::new(NAME, "createOrder", created_two).aims_at_rate_of("one copy", &created_one, OF_ONE),
    ])
}
