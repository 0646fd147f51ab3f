use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::bench::Bench;
use crate::figures::Figures;
use crate::report::{Aim, Row};
use crate::subscribers::{Subscribers, change_address};
use crate::usage::resident_bytes;

pub(super) const NAME: &str = "idle_socket";
pub(super) const ABOUT: &str = "memory of the gateway for each open socket with one subscription";

const BYTES: f64 = 8_000.0;
/// How long the gateway is left alone before its memory is read.
const PAUSE: Duration = Duration::from_secs(2);

pub(super) async fn run(bench: &Bench<'_>) -> Result<Vec<Row>> {
    let system = bench.system().await?;
    let order = system.oldest_orders(1).await?.pop().context("there are no orders")?;
    let number = bench.options.scaled(10_000, 200);
    let gateway = system.process("gateway")?.id();
    // What a first few need beside their sockets stays allocated.
    drop(Subscribers::open(system.gateway(), &vec![order.clone(); number / 20]).await?);
    tokio::time::sleep(PAUSE).await;
    let before = resident_bytes(gateway)?;
    let subscribers = Subscribers::open(system.gateway(), &vec![order.clone(); number]).await?;
    tokio::time::sleep(PAUSE).await;
    let after = resident_bytes(gateway)?;
    // Only sockets that have a subscription count.
    let street = AtomicUsize::new(0);
    subscribers
        .begun(async || {
            let street = street.fetch_add(1, Ordering::Relaxed);
            change_address(system.gateway(), &order, &format!("{street} Quay")).await
        })
        .await?;
    let each = (after as f64 - before as f64) / number as f64;
    let row = Row::new(NAME, format!("{number} sockets"), Figures::default());
    Ok(vec![row.aims("bytes each", Some(each), Aim::AtMost(BYTES))])
}
