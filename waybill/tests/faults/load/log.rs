//! What clients asked for and what they were told.

use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use uuid::Uuid;

use super::Basket;

/// One order that a client wanted, by its key, and the answer to each time it was sent.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) customer_id: String,
    pub(crate) idempotency_key: String,
    pub(crate) request: Basket,
    pub(crate) attempts: Vec<Attempt>,
    /// From the first unknown answer to the one that settled it.
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

/// The codes of answers that are the system's fault.
const FAULTS: [&str; 5] =
    ["SERVICE_UNAVAILABLE", "DEADLINE_EXCEEDED", "OVERLOADED", "INTERNAL_SERVER_ERROR", "none"];

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Attempt {
    pub(crate) outcome: Verdict,
    /// The order, where the outcome is ok; else the code or what broke.
    pub(crate) order_id: Option<Uuid>,
    pub(crate) detail: Option<String>,
    pub(crate) elapsed_ms: u64,
}

/// What an answer says was done, by the API's own rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Verdict {
    /// Accepted.
    #[serde(rename = "ok")]
    Ok,
    /// `userErrors`, or `extensions.outcome` NONE, or the connection was refused: nothing was done.
    #[serde(rename = "error")]
    DefiniteError,
    /// `extensions.outcome` UNKNOWN, or the connection broke.
    #[serde(rename = "unknown")]
    Unknown,
}

impl Attempt {
    /// The code of a fault of the system's, which is nobody's mistake; refused connections are not answers.
    pub(crate) fn fault(&self) -> Option<&str> {
        let detail = self.detail.as_deref()?;
        match self.outcome {
            Verdict::Ok => None,
            Verdict::Unknown => Some(detail),
            Verdict::DefiniteError => FAULTS.contains(&detail).then_some(detail),
        }
    }
}

impl Entry {
    /// What is known in the end: an order, nothing, or still not whether.
    pub(crate) fn verdict(&self) -> Verdict {
        let outcomes = || self.attempts.iter().map(|attempt| attempt.outcome);
        if outcomes().any(|outcome| outcome == Verdict::Ok) {
            Verdict::Ok
        } else if outcomes().all(|outcome| outcome == Verdict::DefiniteError) {
            Verdict::DefiniteError
        } else {
            Verdict::Unknown
        }
    }

    /// Whether some attempt's outcome was unknown.
    pub(crate) fn was_unknown(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.outcome == Verdict::Unknown)
    }

    /// The orders that were answered for this key; more than one is a violation.
    pub(crate) fn order_ids(&self) -> Vec<Uuid> {
        let mut ids: Vec<Uuid> = self.attempts.iter().filter_map(|attempt| attempt.order_id).collect();
        ids.sort();
        ids.dedup();
        ids
    }
}

/// A change that was answered: this order reached this version in this status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) order_id: Uuid,
    pub(crate) version: i64,
    pub(crate) status: String,
}

/// A change that a client asked for, once, and what it was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) order_id: Uuid,
    /// The trace that it leaves in the order's history: the status it leads to, else the event's kind.
    pub(crate) leaves: &'static str,
    pub(crate) answer: Attempt,
}

/// Everything that clients were told.
#[derive(Default)]
pub(crate) struct ClientLog {
    entries: Mutex<Vec<Entry>>,
    told: Mutex<Vec<Told>>,
    changes: Mutex<Vec<Change>>,
    slowest_read: Mutex<(Duration, String)>,
}

impl ClientLog {
    pub(crate) fn add(&self, entry: Entry) {
        self.entries.lock().unwrap().push(entry);
    }

    pub(crate) fn tell(&self, told: Told) {
        self.told.lock().unwrap().push(told);
    }

    pub(crate) fn note_change(&self, change: Change) {
        self.changes.lock().unwrap().push(change);
    }

    /// Notes how long a query took, and what came of it.
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

    pub(crate) fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
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

    /// A line for people: how many orders, attempts and outcomes.
    pub(crate) fn summary(&self) -> String {
        let entries = self.entries();
        let count = |verdict| entries.iter().filter(|entry| entry.verdict() == verdict).count();
        let unknown = entries.iter().filter(|entry| entry.was_unknown()).count();
        format!(
            "{} orders: {} ok, {} definite errors, {} unresolved; {unknown} were unknown at first, for {:?} at the \
             most; {} changes answered",
            entries.len(),
            count(Verdict::Ok),
            count(Verdict::DefiniteError),
            count(Verdict::Unknown),
            self.longest_unknown(),
            self.told().len(),
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
