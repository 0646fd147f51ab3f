use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::bench::Bench;
use crate::events::NewOrders;
use crate::figures::{median, take_turns};
use crate::report::{Aim, Row};
use crate::system::{Catalogue, Gateway, OneProcess};

pub(super) const NAME: &str = "create_order_alone";
pub(super) const ABOUT: &str =
    "createOrder with wait, one at a time, and the time from its answer to its event";

const FOUR_PROCESSES_MS: f64 = 5.0;
const ONE_PROCESS_MS: f64 = 3.0;
/// From the answer to the event at a subscriber.
const EVENT_MS: f64 = 2.0;
/// How long an event may take.
const LATEST: Duration = Duration::from_secs(30);

pub(super) async fn run(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let system = bench.system().await?;
    let one = OneProcess::start(Catalogue::default()).await?;
    let gateway = one.gateway()?;
    let (requests, _) = system.gateway().create_requests(true).await?;
    let (watched_system, watched_one) = (system.watched()?, one.watched()?);
    let [in_four, in_one] = take_turns(
        bench.options.rounds(),
        [
            Box::new(|| Box::pin(bench.load(&requests, &system.gateway().address, 1, &watched_system))),
            Box::new(|| Box::pin(bench.load(&requests, &gateway.address, 1, &watched_one))),
        ],
    )
    .await?;
    let mut rows = Vec::new();
    for (case, gateway, figures, most) in [
        ("four processes", system.gateway(), in_four, FOUR_PROCESSES_MS),
        ("one process", gateway, in_one, ONE_PROCESS_MS),
    ] {
        let p50 = figures.p50_ms;
        let row = Row::new(NAME, case, figures).aims("ms, p50", p50, Aim::AtMost(most));
        let after = after_answer(gateway, bench.options.scaled(300, 20)).await?;
        rows.push(row.aims("ms from answer to event, p50", after, Aim::AtMost(EVENT_MS)));
    }
    Ok(rows)
}

/// Places orders one after the other; returns the median of the time from each answer to the order's event at a
/// subscriber, in milliseconds, below zero if the event comes first.
async fn after_answer(gateway: &Gateway, number: usize) -> Result<Option<f64>> {
    let orders = NewOrders::subscribe(gateway).await?;
    let mut later = Vec::new();
    for number in 0..number {
        let before = orders.count();
        gateway.create_order(number, true).await?;
        let answered = Instant::now();
        while orders.count() == before {
            ensure!(answered.elapsed() < LATEST, "no event of an order in {LATEST:?}");
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        let event = orders.newest();
        let after = event.saturating_duration_since(answered).as_secs_f64();
        let ahead = answered.saturating_duration_since(event).as_secs_f64();
        later.push((after - ahead) * 1e3);
    }
    Ok(median(later))
}
