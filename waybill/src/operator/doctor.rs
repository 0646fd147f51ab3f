//! `waybill doctor`: whether all is well, and what to do where it isn't.

mod databases;
mod examined;
mod examining;
mod findings;
mod report;

use std::time::Duration;

use bus::topology::RetryDelays;
use clap::Args;
use service_kit::config::{ConfigErrors, DatabaseArgs};

use super::Verdict;
use super::counter::EXAMINE;
use super::print::OutputArgs;
use super::reach::{Reach, ReachArgs, Whereabouts};

pub(super) use examined::Examined;
pub(super) use examining::examine;

/// How long an examination may take in all; each of its questions has a shorter limit.
const LIMIT: Duration = Duration::from_secs(60);

/// Check that all is well, and say what to do where it isn't
///
/// Looks at the broker, its queues with their arguments and consumers, what waits in them, dead letters, whether the
/// services answer, the databases with their migrations, events that wait to be published, orders that stay PENDING, and
/// clocks. Exits with 1 where it has findings.
#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    reach: ReachArgs,
    /// Pauses before failed work is tried again, as the services have them: each has a queue of its own
    #[arg(long, env = "RETRY_DELAYS", default_value = "1s,5s,30s,2m", value_name = "DURATIONS")]
    #[arg(help_heading = "Message bus")]
    retry_delays: String,
}

/// Runs the command.
pub(crate) async fn run(args: DoctorArgs) -> anyhow::Result<Verdict> {
    let mut errors = ConfigErrors::new();
    let place = args.reach.check(&mut errors);
    let longest = Duration::from_secs(24 * 60 * 60);
    let delays = errors.durations("RETRY_DELAYS", &args.retry_delays, Duration::from_millis(1)..=longest, 10);
    let database_url = args.database.url(&mut errors);
    let (place, delays, database_url) = errors.finish((place, delays, database_url))?;

    let mut examined = look(&place, RetryDelays(delays)).await?;
    if let Some(url) = &database_url {
        examined.databases.push(databases::at("DATABASE_URL", url).await);
    }
    let findings = findings::of(&examined);
    let verdict = if findings.is_empty() { Verdict::Fine } else { Verdict::Amiss };
    args.output.print(&report::Report { examined, findings }, report::text)?;
    Ok(verdict)
}

async fn look(place: &Whereabouts, retry_delays: RetryDelays) -> anyhow::Result<Examined> {
    let reach = match Reach::find(place, retry_delays).await {
        Ok(reach) => reach,
        Err(error) if place.is_behind_a_broker() => return Ok(Examined::unreachable(format!("{error:#}"))),
        Err(error) => return Err(error),
    };
    let mut examined: anyhow::Result<Examined> = reach.ask(EXAMINE, &(), LIMIT).await;
    if let (Ok(examined), false) = (&mut examined, reach.is_running()) {
        // The folder is still locked: whoever runs a shop on these files answers for them itself.
        examined.databases = databases::in_files(&place.data_dir).await;
    }
    reach.leave().await;
    examined
}
