//! One round of placing orders, followed until the last of their events is delivered.

use std::time::Instant;

use anyhow::Result;

use crate::bench::{Bench, addresses, megabytes};
use crate::events::NewOrders;
use crate::figures::Figures;
use crate::system::{FourProcesses, Gateway};
use crate::usage::{CpuTimes, Watched};
use crate::wrk::Requests;

/// A round of load that places orders.
pub(crate) struct PlacementRound {
    /// Rate and latencies of the answers.
    pub(crate) accepted: Figures,
    /// The same latencies, and the rate of orders whose events were delivered, up to the last of them.
    pub(crate) delivered: Figures,
}

/// Places orders over so many connections, which the gateways share.
pub(crate) async fn place(
    bench: &Bench<'_>,
    gateways: &[&Gateway],
    watched: &Watched,
    requests: &Requests,
    orders: &NewOrders,
    connections: usize,
) -> Result<PlacementRound> {
    let (count_before, cpu_before, begin) = (orders.count(), CpuTimes::read(watched)?, Instant::now());
    let report = requests.send(&addresses(gateways), connections, bench.options.time()).await?;
    let (count, last) = orders.complete(count_before, report.requests).await?;
    let mut cpu = CpuTimes::read(watched)?.since(&cpu_before);
    cpu.insert("client", report.cpu_seconds);
    let accepted = report.figures().with_cpu(&cpu, count);
    let seconds = last.duration_since(begin).as_secs_f64();
    Ok(PlacementRound { delivered: accepted.clone().with_rate(count, seconds), accepted })
}

/// The same at the gateways of four processes or more, with their peak of memory.
pub(crate) async fn place_in_system(
    bench: &Bench<'_>,
    system: &FourProcesses<'_>,
    requests: &Requests,
    orders: &NewOrders,
    connections: usize,
) -> Result<PlacementRound> {
    system.reset_peak()?;
    let watched = system.watched()?;
    let mut placed = place(bench, &system.gateways(), &watched, requests, orders, connections).await?;
    let peak = Some(megabytes(system.peak_bytes()?));
    (placed.accepted.peak_mb, placed.delivered.peak_mb) = (peak, peak);
    Ok(placed)
}
