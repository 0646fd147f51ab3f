//! `waybill doctor`: whether all is well, and what to do if it isn't.

mod checks;
mod probe;
mod report;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use bus::topology::RetryDelays;
use clap::Args;
use service_kit::config::{ConfigErrors, DatabaseArgs};

use crate::admin::{AdminAddress, AdminAddressArgs, database_at};
use crate::output::OutputArgs;
use probe::{Snapshot, probe};

/// How long the whole probe may take; each of its questions has a shorter limit.
const LIMIT: Duration = Duration::from_secs(60);

/// Check that all is well, and say what to do if it isn't
///
/// Looks at the broker, its queues with their arguments and consumers, what waits in them, dead letters, whether the
/// services answer, the databases with their migrations, events that wait to be published, orders that stay PENDING, and
/// clocks. Exits with 1 if it has findings.
#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    address: AdminAddressArgs,
    /// Pauses before failed work is tried again, as the services have them: each has a queue of its own
    #[arg(long, env = "RETRY_DELAYS", default_value = "1s,5s,30s,2m", value_name = "DURATIONS")]
    #[arg(help_heading = "Message bus")]
    retry_delays: String,
}

pub(crate) async fn run(args: DoctorArgs) -> anyhow::Result<ExitCode> {
    let mut errors = ConfigErrors::new();
    let mut address = args.address.check(&mut errors);
    let longest = Duration::from_secs(24 * 60 * 60);
    let delays = errors.durations("RETRY_DELAYS", &args.retry_delays, Duration::from_millis(1)..=longest, 10);
    address.retry_delays = RetryDelays(delays);
    let database_url = args.database.url(&mut errors);
    let (address, database_url) = errors.finish((address, database_url))?;

    let mut snapshot = snapshot(address).await?;
    if let Some(url) = &database_url {
        snapshot.databases.push(database_at("DATABASE_URL", url).await);
    }
    let findings = checks::findings(&snapshot);
    let code = if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    args.output.print(&report::Report { findings, snapshot }, report::text)?;
    Ok(code)
}

async fn snapshot(address: AdminAddress) -> anyhow::Result<Snapshot> {
    let is_behind_a_broker = address.rabbitmq_url.is_some();
    let connection = match address.connect().await {
        Ok(connection) => connection,
        Err(error) if is_behind_a_broker => return Ok(Snapshot::unreachable(format!("{error:#}"))),
        Err(error) => return Err(error),
    };
    let probed = connection.run(async |connection| {
        tokio::time::timeout(LIMIT, probe(connection)).await.context("the probe took too long")?
    });
    probed.await
}
