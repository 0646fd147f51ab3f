use anyhow::Result;
use serde_json::json;

use crate::bench::Bench;
use crate::figures::take_turns;
use crate::floors::{GraphQlFloor, RequestFloor};
use crate::report::{Aim, Row, ratio};
use crate::usage::CpuTimes;

pub(super) const NAME: &str = "order_by_id";
pub(super) const ABOUT: &str = "order(id) of 10,000 different orders, at 64 and 512 connections, and alone";

/// The share of C's rate, and of R's, to be reached at many connections.
const OF_C: f64 = 0.6;
const OF_R: f64 = 1.0;
/// The latency alone, in round trips of R alone.
const ROUND_TRIPS_ALONE: f64 = 4.0;

pub(super) async fn run(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let system = bench.system().await?;
    let (requests, answer) =
        system.gateway().order_requests(&system.oldest_orders(bench.orders()).await?).await?;
    let c = GraphQlFloor::start(&answer).await?;
    let rabbitmq = bench.rabbitmq().await?;
    let r = RequestFloor::start(rabbitmq, request_bytes(), reply_bytes(system).await?).await?;
    let mut rows = Vec::new();
    for connections in [64, bench.options.many_connections(), 1] {
        let measured = take_turns(
            bench.options.rounds(),
            [
                Box::new(|| Box::pin(bench.load_system(system, &requests, connections))),
                Box::new(|| {
                    Box::pin(async { bench.load(&requests, &c.address, connections, &c.watched()).await })
                }),
                Box::new(|| {
                    Box::pin(async {
                        let watched = r.watched(rabbitmq)?;
                        let before = CpuTimes::read(&watched)?;
                        let (figures, operations) = r.run(connections, bench.options.time()).await?;
                        Ok(figures.with_cpu(&CpuTimes::read(&watched)?.since(&before), operations))
                    })
                }),
            ],
        );
        let [work, of_c, of_r] = measured.await?;
        if connections == 1 {
            let round_trips = ratio(work.p50_ms, of_r.p50_ms);
            let row = Row::new(NAME, "alone", work).beside("R", &of_r).beside("C", &of_c);
            rows.push(row.aims("p50 / p50 of R", round_trips, Aim::AtMost(ROUND_TRIPS_ALONE)));
        } else {
            let row = Row::new(NAME, format!("{connections} connections"), work);
            let row = row.aims_at_rate_of("C", &of_c, OF_C);
            rows.push(row.aims_at_rate_of("R", &of_r, OF_R));
        }
    }
    Ok(rows)
}

/// The length of an `order.get` for one order.
fn request_bytes() -> usize {
    let order =
        json!({ "orderId": "019ab1f0-7b2a-7c3d-8e4f-5a6b7c8d9e0f", "owner": { "customerId": "CUST001" } });
    json!({ "pattern": "order.get", "data": [order], "id": "019ab1f0-7b2a-7c3d-8e4f-5a6b7c8d9e0f" })
        .to_string()
        .len()
}

/// The length of the answer.
async fn reply_bytes(system: &crate::system::FourProcesses<'_>) -> Result<usize> {
    let order = system.query("SELECT payload FROM order_events ORDER BY seq LIMIT 1").await?;
    let order: serde_json::Value = serde_json::from_str(&order)?;
    Ok(json!({ "response": [order], "isDisposed": true }).to_string().len())
}
