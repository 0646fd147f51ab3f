//! `waybill audit`: whether every promise was kept, by what the services themselves say.

mod client_log;
mod history;
mod judge;
mod reading;
mod report;
mod stock;
mod violation;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::ensure;
use clap::Args;
use schema::ids::OrderId;
use service_kit::config::ConfigErrors;
use tokio::time::Instant;

use crate::admin::{AdminAddressArgs, AdminConnection};
use crate::output::OutputArgs;
use client_log::ClientLog;
use reading::{Counts, Reading};
use report::Report;
use violation::Violation;

/// Between two readings of what looked wrong.
const PAUSE: Duration = Duration::from_millis(500);

/// Check on a live system that orders, stock and events agree
///
/// Asks order-service and inventory-service for every order and every reservation, and checks that stock agrees with the
/// orders and with its ledger (I4), that histories are legal and without gaps (I5), that every event was published (I6),
/// and that no stock is held for an order that doesn't exist. What looks wrong is read again, once every event is
/// published, until it is right or patience ends: only what stays wrong is told. Exits with 1 where something is.
#[derive(Args, Debug)]
pub(crate) struct AuditArgs {
    /// What clients were told, to check too that every success is one order (I1), that every definite error left nothing
    /// (I2), and that every unknown outcome is one order (I3). A file of JSON lines, one an attempt:
    /// {"key": "basket-7", "customerId": "CUST01", "outcome": "ok|error|unknown", "orderId": null}
    #[arg(long, value_name = "FILE")]
    client_log: Option<PathBuf>,
    /// How long what looks wrong may take to become right, such as 10s. Stock that a crash left held is given back after
    /// RESERVATION_HOLD, a minute by default
    #[arg(long, value_name = "DURATION", default_value = "90s")]
    patience: String,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    address: AdminAddressArgs,
}

/// Runs the command.
pub(crate) async fn run(args: AuditArgs) -> anyhow::Result<ExitCode> {
    let mut errors = ConfigErrors::new();
    let address = args.address.check(&mut errors);
    let patience = errors.duration("PATIENCE", &args.patience, Duration::ZERO..=Duration::from_secs(3_600));
    let (address, patience) = errors.finish((address, patience))?;
    let log = args.client_log.as_deref().map(ClientLog::read).transpose()?;
    let connection = address.connect().await?;
    let audited = audit(&connection, log.as_ref(), patience).await;
    connection.close().await;
    let (counts, violations) = audited?;
    let code = if violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    args.output.print(&Report::of(counts, log.as_ref(), violations), report::text)?;
    Ok(code)
}

async fn audit(
    connection: &AdminConnection,
    log: Option<&ClientLog>,
    patience: Duration,
) -> anyhow::Result<(Counts, Vec<Violation>)> {
    ensure!(connection.has_services(), "the shop is not running, so that there are no services to ask");
    let nothing_told = ClientLog::default();
    let reading = Reading { connection, log: log.unwrap_or(&nothing_told) };
    let deadline = Instant::now() + patience;
    let (counts, mut suspected) = reading.everything().await?;
    let unpublished = drained(&reading, deadline).await?;
    while !suspected.is_empty() {
        suspected = still_there(&suspected, reading.again(&subjects(&suspected)).await?);
        if Instant::now() >= deadline {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    let lasting = judge::misnamed(reading.log).into_iter().chain(unpublished);
    Ok((counts, suspected.into_iter().chain(lasting).collect()))
}

/// Of what was found again, what was found before as well, whatever its figures are by now.
fn still_there(before: &[Violation], again: Vec<Violation>) -> Vec<Violation> {
    let is_old = |violation: &Violation| before.iter().any(|old| old.is_about_the_same_as(violation));
    again.into_iter().filter(is_old).collect()
}

/// Waits until nothing waits to be published, or says what still does.
async fn drained(reading: &Reading<'_>, deadline: Instant) -> anyhow::Result<Option<Violation>> {
    loop {
        match reading.unpublished().await? {
            0 => return Ok(None),
            waiting if Instant::now() >= deadline => {
                return Ok(Some(Violation::of_outbox(format!("{waiting} events are not published"))));
            }
            _ => tokio::time::sleep(PAUSE).await,
        }
    }
}

fn subjects(violations: &[Violation]) -> Vec<OrderId> {
    let ids: BTreeSet<OrderId> = violations.iter().filter_map(|violation| violation.order_id).collect();
    ids.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;
    use violation::Invariant;

    #[test]
    fn what_moves_and_stays_wrong_is_told_and_what_is_new_or_right_by_now_is_not() {
        let product = |id: &str, error: &str| Violation::of_product(id.parse().unwrap(), error);
        let order = |id: u128, invariant| Violation::of_order(invariant, OrderId(Uuid::from_u128(id)), "off");
        let before = [product("P1", "5 too many"), order(1, Invariant::I4), order(2, Invariant::I4)];
        let again = vec![
            product("P1", "7 too many"),
            product("P2", "1 too many"),
            order(1, Invariant::I5),
            order(2, Invariant::I4),
        ];
        assert_eq!(still_there(&before, again), [product("P1", "7 too many"), order(2, Invariant::I4)]);
    }
}
