//! How an audit is told.

use serde::Serialize;

use super::client_log::ClientLog;
use super::reading::Counts;
use super::violation::{Invariant, Violation};
use crate::output::{columns, counted, printable};

const WITHOUT_A_LOG: [Invariant; 3] = [Invariant::I4, Invariant::I5, Invariant::I6];
const BY_A_LOG: [Invariant; 3] = [Invariant::I1, Invariant::I2, Invariant::I3];

/// What was read, and which promises it breaks.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    #[serde(flatten)]
    counts: Counts,
    /// Orders in the clients' log, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    told: Option<usize>,
    promises: Vec<Promise>,
    violations: Vec<Violation>,
}

#[derive(Debug, Serialize)]
struct Promise {
    invariant: Invariant,
    claim: &'static str,
    violations: usize,
}

impl Report {
    pub(super) fn of(counts: Counts, log: Option<&ClientLog>, mut violations: Vec<Violation>) -> Self {
        violations.sort_by_key(|violation| (violation.invariant, violation.order_id));
        let broken =
            |invariant| violations.iter().filter(|violation| violation.invariant == invariant).count();
        let promise = |invariant: Invariant| Promise {
            invariant,
            claim: invariant.claim(),
            violations: broken(invariant),
        };
        let promises = BY_A_LOG.into_iter().chain(WITHOUT_A_LOG).map(promise);
        // Without a log nothing says that those of clients are kept; that one is broken may show all the same.
        let promises = promises.filter(|promise| {
            log.is_some() || promise.violations > 0 || WITHOUT_A_LOG.contains(&promise.invariant)
        });
        Self { counts, told: log.map(ClientLog::len), promises: promises.collect(), violations }
    }
}

pub(super) fn text(report: &Report) -> String {
    let rows: Vec<Vec<String>> = report
        .promises
        .iter()
        .map(|promise| {
            let kept = match promise.violations {
                0 => "kept".to_owned(),
                broken => counted(broken, "violation"),
            };
            vec![promise.invariant.to_string(), promise.claim.to_owned(), kept]
        })
        .collect();
    let told = report.told.map(|told| format!(", {} in the clients' log", counted(told, "order")));
    let read = format!(
        "{} orders and {} reservations read{}",
        report.counts.orders,
        report.counts.reservations,
        told.unwrap_or_default()
    );
    let violations = report
        .violations
        .iter()
        .map(|violation| format!("{}  {}", violation.invariant, printable(&violation.to_string())));
    let violations: Vec<String> = violations.collect();
    format!("{read}\n\n{}\n\n{}", columns(&["", "PROMISE", ""], &rows), violations.join("\n"))
}
