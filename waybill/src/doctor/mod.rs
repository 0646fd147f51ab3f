//! `waybill doctor`: whether all is well, and what to do if it isn't.

mod checks;
mod management;
mod probe;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use bus::topology::RetryDelays;
use clap::Args;
use serde::Serialize;
use service_kit::config::{ConfigErrors, DatabaseArgs, Secret, check_url};

use crate::admin::{AdminAddress, AdminAddressArgs, BrokerStatus, QueueRole, database_at};
use crate::output::{OutputArgs, columns, counted, printable};
use checks::Finding;
use management::{ManagementStatus, management};
use probe::{Snapshot, probe};

/// How long the whole probe may take; each of its questions has a shorter limit.
const LIMIT: Duration = Duration::from_secs(60);

/// Check that all is well, and say what to do if it isn't
///
/// Looks at the broker, its queues with their arguments and consumers, and with RABBITMQ_MANAGEMENT_URL at policies that
/// make them lose messages; what waits in them, dead letters, whether the services answer, the databases with their migrations, events that wait to be published, orders that stay PENDING, and
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
    /// The broker's management API, which tells policies: http://user:password@host:15672, or https://
    #[arg(long, env = "RABBITMQ_MANAGEMENT_URL", hide_env_values = true, value_name = "URL")]
    #[arg(help_heading = "Message bus")]
    rabbitmq_management_url: Option<Secret>,
}

pub(crate) async fn run(args: DoctorArgs) -> anyhow::Result<ExitCode> {
    let mut errors = ConfigErrors::default();
    let mut address = args.address.check(&mut errors);
    address.retry_delays = RetryDelays(errors.retry_delays(&args.retry_delays));
    let database_url = args.database.url(&mut errors, store::check_url);
    let management_url = args.rabbitmq_management_url.as_ref();
    let schemes = ["http", "https"];
    let management_url = errors.url("RABBITMQ_MANAGEMENT_URL", management_url, &schemes, check_url);
    let (address, database_url, management_url) = errors.finish((address, database_url, management_url))?;

    let managed = managed(&address, management_url.as_ref()).await?;
    let mut snapshot = snapshot(address).await?;
    snapshot.management = managed;
    if let Some(url) = &database_url {
        snapshot.databases.push(database_at("DATABASE_URL", url).await);
    }
    let findings = checks::findings(&snapshot);
    let code = if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    args.output.print(&Report { findings, snapshot }, text)?;
    Ok(code)
}

/// What the management API says of the broker that the address names, if both are given.
async fn managed(address: &AdminAddress, url: Option<&Secret>) -> anyhow::Result<Option<ManagementStatus>> {
    let (Some(broker), Some(url)) = (&address.broker, url) else { return Ok(None) };
    let virtual_host =
        bus::amqp::virtual_host(broker.urls.expose()).map_err(|error| anyhow!("RABBITMQ_URL: {error}"))?;
    Ok(Some(management(url, &virtual_host, &address.topology()).await))
}

async fn snapshot(address: AdminAddress) -> anyhow::Result<Snapshot> {
    let is_behind_a_broker = address.broker.is_some();
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

#[derive(Debug, Serialize)]
struct Report {
    findings: Vec<Finding>,
    #[serde(rename = "examined")]
    snapshot: Snapshot,
}

fn text(report: &Report) -> String {
    let mut parts = vec![seen(&report.snapshot)];
    if !report.snapshot.queues.is_empty() {
        parts.push(queues(&report.snapshot));
    }
    parts.push(match report.findings.len() {
        0 => "all is well".to_owned(),
        count => format!("{}:\n{}", counted(count, "finding"), findings(&report.findings)),
    });
    parts.join("\n\n")
}

fn seen(snapshot: &Snapshot) -> String {
    let well = snapshot.broker == BrokerStatus::default();
    let mut rows = vec![row("broker", if well { "connected, topology as declared" } else { "see below" })];
    rows.extend(snapshot.management.iter().map(|management| {
        let seen = match (&management.fault, management.deviations.len()) {
            (Some(_), _) => "does not answer",
            (None, 0) => "policies, arguments and bindings as declared",
            (None, _) => "see below",
        };
        row("broker's settings", seen)
    }));
    match &snapshot.services {
        None if snapshot.broker.unreachable.is_some() => {}
        None => rows.push(row("services", "not running")),
        Some(services) => rows.extend(services.iter().map(|service| match &service.fault {
            None => row(&service.name, &format!("answers within {} ms", service.answered_in_ms.max(1))),
            Some(_) => row(&service.name, "does not answer"),
        })),
    }
    if let Some(seen) = &snapshot.backlog {
        rows.push(row("outbox", &counted(seen.outbox, "event")));
        rows.push(row("pending", &counted(seen.backlog.pending, "order")));
    }
    rows.extend(snapshot.databases.iter().map(|database| {
        let tables: Vec<&str> = database.tables.iter().map(|tables| tables.of.as_str()).collect();
        match &database.fault {
            None => row(&database.name, &format!("tables of {}", tables.join(", "))),
            Some(_) => row(&database.name, "does not answer"),
        }
    }));
    columns(&["CHECKED", "SEEN"], &rows)
}

fn queues(snapshot: &Snapshot) -> String {
    let rows: Vec<Vec<String>> = snapshot
        .queues
        .iter()
        .filter_map(|queue| {
            let depth = queue.depth?;
            let consumers = match queue.role {
                QueueRole::Requests | QueueRole::Work => depth.consumers.to_string(),
                QueueRole::Retry | QueueRole::Dead => "-".to_owned(),
            };
            Some(vec![queue.name.clone(), depth.ready.to_string(), consumers])
        })
        .collect();
    columns(&["QUEUE", "READY", "CONSUMERS"], &rows)
}

fn findings(findings: &[Finding]) -> String {
    let lines = findings.iter().map(|finding| {
        let (subject, wrong) = (printable(&finding.subject), printable(&finding.finding));
        format!("  {subject}: {wrong}\n    -> {}", finding.advice)
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn row(checked: &str, seen: &str) -> Vec<String> {
    vec![printable(checked), seen.to_owned()]
}
