use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::bench::Bench;
use crate::changes::ChangeOrders;
use crate::figures::{Figures, median};
use crate::report::{Aim, Row};
use crate::subscribers::{Delivery, Subscribers, change_address};
use crate::system::{Catalogue, FourProcesses, OrderRef};
use crate::usage::CpuTimes;

pub(super) const NAME: &str = "fan_out";
pub(super) const ABOUT: &str =
    "one event to 10,000 subscribers, and 2,000 events a second to 5,000 subscribers of one order each";

/// From a change to the last of the sockets.
const LAST_SOCKET_MS: f64 = 100.0;
/// CPU of the gateway for each update that it sends.
const MICROSECONDS_PER_DELIVERY: f64 = 10.0;
/// How long the last updates may take.
const LATEST: Duration = Duration::from_secs(30);

pub(super) async fn run(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let subscribers = bench.options.scaled(5_000, 100);
    let system = bench.new_system(Catalogue::default(), subscribers).await?;
    let orders = system.oldest_orders(subscribers).await?;
    Ok(vec![to_many(bench, &system, &orders).await?, to_each(bench, &system, &orders).await?])
}

/// Changes one order that everyone follows.
async fn to_many(bench: &Bench<'_>, system: &FourProcesses<'_>, orders: &[OrderRef]) -> Result<Row> {
    let order = orders.first().context("there are no orders")?;
    let number = bench.options.scaled(10_000, 100);
    let subscribers = Subscribers::open(system.gateway(), &vec![order.clone(); number]).await?;
    let counter = AtomicUsize::new(0);
    let change = async || {
        let street = counter.fetch_add(1, Ordering::Relaxed);
        change_address(system.gateway(), order, &format!("{street} Pier")).await
    };
    subscribers.begun(&change).await?;
    let watched = system.watched()?;
    let (before, cpu) = (subscribers.count(), CpuTimes::read(&watched)?);
    let changes = bench.options.scaled(10, 2);
    for round in 1..=changes {
        change().await?;
        // Each change alone: the next one comes when the last socket has this one, or has lost it.
        subscribers.received(before + round * number, LATEST).await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let deliveries = subscribers.since(before);
    let cpu = CpuTimes::read(&watched)?.since(&cpu);
    let mut last: BTreeMap<i64, f64> = BTreeMap::new();
    for delivery in &deliveries {
        let last = last.entry(delivery.occurred_at).or_default();
        *last = last.max(delivery.after_ms);
    }
    let figures = figures(&deliveries, &cpu, changes * number);
    let per_delivery = gateway_microseconds(&figures);
    Ok(Row::new(NAME, format!("one event to {number} sockets"), figures)
        .aims("ms until the last socket", median(last.into_values().collect()), Aim::AtMost(LAST_SOCKET_MS))
        .aims("µs of gateway CPU per update", per_delivery, Aim::AtMost(MICROSECONDS_PER_DELIVERY)))
}

/// Changes orders that one subscriber each follows.
async fn to_each(bench: &Bench<'_>, system: &FourProcesses<'_>, orders: &[OrderRef]) -> Result<Row> {
    let changes = ChangeOrders::prepare(bench.postgres().await?, &system.database_url, orders).await?;
    let subscribers = Subscribers::open(system.gateway(), orders).await?;
    subscribers.begun(async || changes.change_each_once().await).await?;
    let watched = system.watched()?;
    let (before, cpu) = (subscribers.count(), CpuTimes::read(&watched)?);
    let rate = bench.options.scaled(2_000, 200);
    let (changed, seconds) = changes.change(rate, bench.options.time() * 2).await?;
    subscribers.received(before + changed, LATEST).await?;
    let cpu = CpuTimes::read(&watched)?.since(&cpu);
    let deliveries = subscribers.since(before);
    let figures = figures(&deliveries, &cpu, changed).with_rate(deliveries.len(), seconds);
    let per_delivery = gateway_microseconds(&figures);
    let lost = figures.failures as f64;
    Ok(Row::new(NAME, format!("{rate} events/s to {} sockets", orders.len()), figures)
        .aims("updates lost", Some(lost), Aim::AtMost(0.0))
        .aims("µs of gateway CPU per update", per_delivery, Aim::AtMost(MICROSECONDS_PER_DELIVERY)))
}

fn figures(deliveries: &[Delivery], cpu: &BTreeMap<&'static str, f64>, expected: usize) -> Figures {
    let lost = expected.abs_diff(deliveries.len());
    let figures = Figures { failures: u64::try_from(lost).unwrap_or(u64::MAX), ..Figures::default() };
    let latencies = deliveries.iter().map(|delivery| delivery.after_ms).collect();
    figures.with_latencies(latencies).with_cpu(cpu, deliveries.len())
}

/// CPU seconds of a thousand operations are milliseconds of one.
fn gateway_microseconds(figures: &Figures) -> Option<f64> {
    figures.cpu_seconds_per_1000.get("gateway").map(|milliseconds| milliseconds * 1e3)
}
