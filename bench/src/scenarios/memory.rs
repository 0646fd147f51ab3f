use std::time::Duration;

use anyhow::Result;

use crate::bench::{Bench, megabytes};
use crate::events::NewOrders;
use crate::figures::Figures;
use crate::placement::place_in_system;
use crate::report::{Aim, Row};
use crate::system::Catalogue;

pub(super) const NAME: &str = "memory";
pub(super) const ABOUT: &str = "resident memory of the four processes together, idle and after load";

const IDLE_MB: f64 = 60.0;
const LOADED_MB: f64 = 120.0;
/// How long the processes are left alone before their memory is read.
const PAUSE: Duration = Duration::from_secs(3);

pub(super) async fn run(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let connections = bench.options.many_connections();
    // With more orders than customers the processes have been started again, on existing data.
    let system = bench.new_system(Catalogue::default(), bench.orders()).await?;
    tokio::time::sleep(PAUSE).await;
    let idle = megabytes(system.resident_bytes()?);
    let (created, _) = system.gateway().create_requests(true).await?;
    let (read, _) = system.gateway().order_requests(&system.oldest_orders(bench.orders()).await?).await?;
    let (pages, _) = system.gateway().page_requests().await?;
    let orders = NewOrders::subscribe(system.gateway()).await?;
    let figures = place_in_system(bench, &system, &created, &orders, connections).await?.delivered;
    for requests in [&read, &pages] {
        bench.load_system(&system, requests, connections).await?;
    }
    tokio::time::sleep(PAUSE).await;
    let loaded = megabytes(system.resident_bytes()?);
    Ok(vec![
        Row::new(NAME, "idle", Figures::default()).aims("MB", Some(idle), Aim::AtMost(IDLE_MB)),
        Row::new(NAME, format!("after load of {connections} connections"), figures).aims(
            "MB",
            Some(loaded),
            Aim::AtMost(LOADED_MB),
        ),
    ])
}
