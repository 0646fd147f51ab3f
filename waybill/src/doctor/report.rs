//! The report of a probe, as text or JSON.

use serde::Serialize;

use super::checks::Finding;
use super::probe::Snapshot;
use crate::admin::{BrokerStatus, QueueRole};
use crate::output::{columns, counted, printable};

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) findings: Vec<Finding>,
    #[serde(rename = "examined")]
    pub(super) snapshot: Snapshot,
}

pub(super) fn text(report: &Report) -> String {
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
