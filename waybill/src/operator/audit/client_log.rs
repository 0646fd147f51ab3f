//! What clients were told, from a log that they kept.

use std::collections::HashMap;
use std::io::BufRead;
use std::path::Path;

use anyhow::{Context, ensure};
use schema::ids::{CustomerId, OrderId};
use serde::Deserialize;

/// Lines of a log at the most.
const LINES_MAX: usize = 5_000_000;

/// What the last word about an order was, of everything that its client was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Told {
    /// Only ever a definite error: nothing was done.
    Error,
    /// No answer, at least once, and no success.
    Unknown,
    /// A success.
    Ok,
}

/// What clients were told, by order.
#[derive(Debug, Default)]
pub(super) struct ClientLog {
    told: HashMap<OrderId, Told>,
    /// Successes under a key that named another order: the key, the order it names, the order told.
    pub(super) misnamed: Vec<(String, OrderId, OrderId)>,
}

/// One line: what one attempt at placing an order came to.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    #[serde(default)]
    key: Option<String>,
    customer_id: CustomerId,
    outcome: Outcome,
    #[serde(default)]
    order_id: Option<OrderId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Ok,
    Error,
    Unknown,
}

impl ClientLog {
    /// Reads a file of JSON lines: `{"key": ..., "customerId": ..., "outcome": "ok|error|unknown", "orderId": ...}`.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(std::io::BufReader::new(file)).with_context(|| format!("in {}", path.display()))
    }

    pub(super) fn parse(lines: impl BufRead) -> anyhow::Result<Self> {
        let mut log = Self::default();
        for (number, line) in (1..).zip(lines.lines()) {
            ensure!(number <= LINES_MAX, "more than {LINES_MAX} lines");
            let line = line.with_context(|| format!("line {number}"))?;
            if !line.trim().is_empty() {
                let line = serde_json::from_str(&line).with_context(|| format!("line {number}"))?;
                log.add(line);
            }
        }
        Ok(log)
    }

    /// An attempt that failed without a key, and so without an id, left nothing that could be looked for.
    fn add(&mut self, line: Line) {
        let named = line.key.as_deref().map(|key| OrderId::for_idempotency_key(&line.customer_id, key));
        let told = match line.outcome {
            Outcome::Ok => Told::Ok,
            Outcome::Error => Told::Error,
            Outcome::Unknown => Told::Unknown,
        };
        if let (Told::Ok, Some(named), Some(answered)) = (told, named, line.order_id)
            && named != answered
        {
            self.misnamed.push((line.key.unwrap_or_default(), named, answered));
        }
        if let Some(order_id) = named.or(line.order_id) {
            let last = self.told.entry(order_id).or_insert(told);
            *last = told.max(*last);
        }
    }

    pub(super) fn told(&self, order_id: OrderId) -> Option<Told> {
        self.told.get(&order_id).copied()
    }

    /// How many orders clients were told of.
    pub(super) fn len(&self) -> usize {
        self.told.len()
    }

    /// Every order that a client was told anything of, sorted.
    pub(super) fn order_ids(&self) -> Vec<OrderId> {
        let mut ids: Vec<OrderId> = self.told.keys().copied().collect();
        ids.sort();
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(key: &str) -> OrderId {
        OrderId::for_idempotency_key(&"CUST01".parse().unwrap(), key)
    }

    fn log(lines: &str) -> ClientLog {
        ClientLog::parse(lines.as_bytes()).unwrap()
    }

    #[test]
    fn a_success_outweighs_an_unknown_and_an_unknown_an_error() {
        let log = log(r#"{"key":"a","customerId":"CUST01","outcome":"unknown","orderId":null}
{"key":"a","customerId":"CUST01","outcome":"ok"}
{"key":"b","customerId":"CUST01","outcome":"unknown"}

{"key":"b","customerId":"CUST01","outcome":"error","more":1}
{"key":"c","customerId":"CUST01","outcome":"error"}"#);
        assert_eq!(log.told(named("a")), Some(Told::Ok));
        assert_eq!(log.told(named("b")), Some(Told::Unknown));
        assert_eq!(log.told(named("c")), Some(Told::Error));
        assert_eq!((log.told(named("d")), log.order_ids().len()), (None, 3));
    }

    #[test]
    fn an_answer_with_another_id_than_the_key_names_is_kept() {
        let (a, b) = (named("a"), named("b"));
        let log = log(&format!(r#"{{"key":"a","customerId":"CUST01","outcome":"ok","orderId":"{b}"}}"#));
        assert_eq!(log.misnamed, [("a".to_owned(), a, b)]);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        let lines = "{\"key\":\"a\",\"customerId\":\"CUST01\",\"outcome\":\"ok\"}\n{\"key\":";
        let error = ClientLog::parse(lines.as_bytes()).unwrap_err();
        assert!(format!("{error:#}").starts_with("line 2: "), "{error:#}");
    }
}
