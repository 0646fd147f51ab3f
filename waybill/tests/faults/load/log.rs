//! What clients asked for and what they were answered.

use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::Result;
use schema::ids::OrderId;
use serde::Serialize;
use waybill::audit::{ChangeEffect, ClientOutcome, OrderVersion};

use super::Basket;

/// One order that a client wanted, by its key, and the answer to each time it was sent.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) customer_id: String,
    pub(crate) idempotency_key: String,
    pub(crate) request: Basket,
    pub(crate) attempts: Vec<Attempt>,
    /// From the first unknown answer to the one that resolved it.
    pub(crate) unknown_for_ms: Option<u64>,
}

/// A line of the file.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    key: &'a str,
    customer_id: &'a str,
    request: &'a Basket,
    #[serde(flatten)]
    attempt: &'a Attempt,
}

/// The codes of answers that say that the system failed.
const FAULTS: [&str; 5] =
    ["SERVICE_UNAVAILABLE", "DEADLINE_EXCEEDED", "OVERLOADED", "INTERNAL_SERVER_ERROR", "none"];

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Attempt {
    pub(crate) outcome: ClientOutcome,
    /// The order if the outcome is ok; else the code or what broke.
    pub(crate) order_id: Option<OrderId>,
    pub(crate) detail: Option<String>,
    pub(crate) elapsed_ms: u64,
}

impl Attempt {
    /// The code if the system failed, rather than refused a request that is wrong; a refused connection is no answer.
    pub(crate) fn fault(&self) -> Option<&str> {
        let detail = self.detail.as_deref()?;
        match self.outcome {
            ClientOutcome::Ok => None,
            ClientOutcome::Unknown => Some(detail),
            ClientOutcome::Error => FAULTS.contains(&detail).then_some(detail),
        }
    }
}

impl Entry {
    /// The strongest outcome of all attempts.
    pub(crate) fn outcome(&self) -> ClientOutcome {
        self.attempts.iter().map(|attempt| attempt.outcome).max().unwrap_or(ClientOutcome::Error)
    }

    /// Whether some attempt's outcome was unknown.
    pub(crate) fn was_unknown(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.outcome == ClientOutcome::Unknown)
    }

    /// The orders that were answered for this key; more than one is a violation.
    pub(crate) fn order_ids(&self) -> Vec<OrderId> {
        let mut ids: Vec<OrderId> = self.attempts.iter().filter_map(|attempt| attempt.order_id).collect();
        ids.sort();
        ids.dedup();
        ids
    }
}

/// A change that a client asked for, once, and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) order_id: OrderId,
    pub(crate) effect: ChangeEffect,
    pub(crate) answer: Attempt,
}

/// Everything that clients recorded.
#[derive(Default)]
pub(crate) struct ClientLog {
    entries: Mutex<Vec<Entry>>,
    answered_versions: Mutex<Vec<OrderVersion>>,
    changes: Mutex<Vec<Change>>,
    slowest_read: Mutex<(Duration, String)>,
}

impl ClientLog {
    pub(crate) fn add(&self, entry: Entry) {
        self.entries.lock().unwrap().push(entry);
    }

    pub(crate) fn add_answered(&self, version: OrderVersion) {
        self.answered_versions.lock().unwrap().push(version);
    }

    pub(crate) fn note_change(&self, change: Change) {
        self.changes.lock().unwrap().push(change);
    }

    /// Records how long a query took, and its answer.
    pub(crate) fn note_read(&self, took: Duration, answer: impl FnOnce() -> String) {
        let mut slowest = self.slowest_read.lock().unwrap();
        if took > slowest.0 {
            *slowest = (took, answer());
        }
    }

    /// Every answer to a mutation.
    pub(crate) fn answers(&self) -> Vec<Attempt> {
        let placed = self.entries().into_iter().flat_map(|entry| entry.attempts);
        placed.chain(self.changes().into_iter().map(|change| change.answer)).collect()
    }

    pub(crate) fn changes(&self) -> Vec<Change> {
        self.changes.lock().unwrap().clone()
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap().clone()
    }

    pub(crate) fn answered_versions(&self) -> Vec<OrderVersion> {
        self.answered_versions.lock().unwrap().clone()
    }

    /// The longest that an outcome stayed unknown.
    pub(crate) fn longest_unknown(&self) -> Duration {
        let entries = self.entries.lock().unwrap();
        Duration::from_millis(entries.iter().filter_map(|entry| entry.unknown_for_ms).max().unwrap_or(0))
    }

    /// The slowest answer of any outcome, to mutations and queries: how long it took, and what it said.
    pub(crate) fn slowest_answer(&self) -> (Duration, String) {
        let answers = self.answers().into_iter().map(|attempt| {
            (Duration::from_millis(attempt.elapsed_ms), format!("{:?} {:?}", attempt.outcome, attempt.detail))
        });
        let slowest_read = self.slowest_read.lock().unwrap().clone();
        answers.chain([slowest_read]).max_by_key(|(took, _)| *took).unwrap_or_default()
    }

    /// One line with the numbers of orders and outcomes.
    pub(crate) fn summary(&self) -> String {
        let entries = self.entries();
        let count = |outcome| entries.iter().filter(|entry| entry.outcome() == outcome).count();
        let unknown = entries.iter().filter(|entry| entry.was_unknown()).count();
        format!(
            "{} orders: {} ok, {} definite errors, {} unresolved; {unknown} were unknown at first, for {:?} at the \
             most; {} changes answered",
            entries.len(),
            count(ClientOutcome::Ok),
            count(ClientOutcome::Error),
            count(ClientOutcome::Unknown),
            self.longest_unknown(),
            self.answered_versions().len(),
        )
    }

    /// Writes one JSON line an attempt, as `waybill audit --client-log` reads them.
    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let mut file = std::io::BufWriter::new(std::fs::File::create(file)?);
        for entry in self.entries() {
            for attempt in &entry.attempts {
                let line = Line {
                    key: &entry.idempotency_key,
                    customer_id: &entry.customer_id,
                    request: &entry.request,
                    attempt,
                };
                writeln!(file, "{}", serde_json::to_string(&line)?)?;
            }
        }
        Ok(file.flush()?)
    }
}
