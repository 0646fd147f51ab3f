//! What clients were told of the changes they asked for is what the histories hold.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::facts::EventRow;
use super::{Facts, Findings, Promise};
use crate::load::Verdict;

/// What only clients do to orders.
const CHANGES: [&str; 5] = ["CANCELLED", "SHIPPED", "DELIVERED", "DETAILS_CHANGED", "DELETED"];

/// I5: a change that was answered as made is in the history.
pub(super) fn answered_changes_were_made(facts: &Facts) -> Findings {
    let mut findings = Findings::of(Promise::HistoriesAreLegal);
    for ((order_id, change), count) in counts(facts) {
        findings.unless(count.made >= count.answered, || {
            format!(
                "order {order_id}: {change} was answered {} times and made {} times",
                count.answered, count.made
            )
        });
    }
    findings
}

/// I2: a change that was refused, or answered as not made, has left nothing.
pub(super) fn refused_changes_left_nothing(facts: &Facts) -> Findings {
    let mut findings = Findings::of(Promise::ErrorsLeaveNothing);
    for ((order_id, change), count) in counts(facts) {
        findings.unless(count.made <= count.answered + count.unknown, || {
            format!(
                "order {order_id}: {change} was made {} times, though {} were answered, {} unknown and {} refused",
                count.made, count.answered, count.unknown, count.refused
            )
        });
    }
    findings
}

#[derive(Default)]
struct Count {
    answered: usize,
    unknown: usize,
    refused: usize,
    made: usize,
}

/// For the orders that some client changed: nobody else did.
fn counts(facts: &Facts) -> BTreeMap<(Uuid, &'static str), Count> {
    let mut counts: BTreeMap<_, Count> = BTreeMap::new();
    for change in &facts.changes {
        for leaves in CHANGES {
            counts.entry((change.order_id, leaves)).or_default();
        }
        let count = counts.entry((change.order_id, change.leaves)).or_default();
        match change.answer.outcome {
            Verdict::Ok => count.answered += 1,
            Verdict::Unknown => count.unknown += 1,
            Verdict::DefiniteError => count.refused += 1,
        }
    }
    for event in &facts.events {
        for leaves in CHANGES {
            if leaves == left_by(event)
                && let Some(count) = counts.get_mut(&(event.order_id, leaves))
            {
                count.made += 1;
            }
        }
    }
    counts
}

fn left_by(event: &EventRow) -> &str {
    if event.kind == "STATUS_CHANGED" { &event.status } else { &event.kind }
}
