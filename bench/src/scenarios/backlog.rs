use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::Value;

use crate::bench::Bench;
use crate::events::NewOrders;
use crate::figures::Figures;
use crate::placement::place_in_system;
use crate::report::{Aim, Row, ratio};
use crate::system::Catalogue;
use crate::usage::CpuTimes;

pub(super) const NAME: &str = "backlog";
pub(super) const ABOUT: &str =
    "10,000 orders accepted while order-service is away, and how they are stored afterwards";

/// Requests at once.
const CONNECTIONS: usize = 64;
/// The share of the rate of orders with wait at which the backlog drains.
const OF_WAITING: f64 = 1.0;

pub(super) async fn run(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let mut system = bench.new_system(Catalogue::default(), 0).await?;
    let waiting = {
        let (requests, _) = system.gateway().create_requests(true).await?;
        let orders = NewOrders::subscribe(system.gateway()).await?;
        place_in_system(bench, &system, &requests, &orders, CONNECTIONS).await?.delivered
    };
    system.published().await?;
    let backlog = bench.options.scaled(10_000, 200);
    let orders = NewOrders::subscribe(system.gateway()).await?;
    system.stop_program("order-service").await?;
    let gateway = system.gateway();
    let accept = |number| async move { gateway.create_order(number, false).await };
    let accepted: Vec<Value> =
        stream::iter(0..backlog).map(accept).buffer_unordered(CONNECTIONS).try_collect().await?;
    let last_position: i64 = system.query("SELECT last_position FROM order_event_counter").await?.parse()?;
    let before = orders.count();
    system.start_copy("order-service").await?;
    let watched = system.watched()?;
    let (begin, cpu) = (Instant::now(), CpuTimes::read(&watched)?);
    let number = accepted.len();
    let last = system.gateway().create_order_or_pending(number, true).await?;
    let answered = begin.elapsed();
    let (delivered, newest) = orders.complete(before, backlog + 1).await?;
    system.published().await?;
    let seconds = newest.duration_since(begin).as_secs_f64();
    let cpu = CpuTimes::read(&watched)?.since(&cpu);
    let figures = Figures::default().with_rate(delivered, seconds).with_cpu(&cpu, delivered);
    let of_waiting = ratio(figures.per_second, waiting.per_second);
    let id = last["data"]["createOrder"]["order"]["id"].as_str().context("no order")?;
    let ahead = format!(
        "SELECT count(*) FROM order_events WHERE kind = 'CREATED' AND position > {last_position} AND position <
            (SELECT position FROM order_events WHERE order_id = '{id}' AND version = 1)"
    );
    let ahead: usize = system.query(&ahead).await?.parse()?;
    ensure!(answered < Duration::from_secs(10), "the new order was answered after {answered:?}");
    Ok(vec![
        Row::new(NAME, format!("{backlog} orders"), figures)
            .beside("with wait, 64 connections", &waiting)
            .aims("per second / with wait", of_waiting, Aim::AtLeast(OF_WAITING))
            .aims(
                "of the backlog stored before a new order",
                ratio(Some(ahead as f64), Some(backlog as f64)),
                Aim::AtLeast(1.0),
            )
            .aims("s until the new order was answered", Some(answered.as_secs_f64()), Aim::None),
    ])
}
