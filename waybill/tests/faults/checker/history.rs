//! I5: an order's history is a legal path, without gaps, and holds everything that was answered.

use super::facts::EventRow;
use super::{Facts, Findings, Promise};

/// I5.
pub(super) fn histories_are_legal(facts: &Facts) -> Findings {
    let mut findings = Findings::of(Promise::HistoriesAreLegal);
    let histories = facts.histories();
    for order in facts.orders() {
        let events = histories.get(&order.id).map(Vec::as_slice).unwrap_or_default();
        let versions: Vec<i64> = events.iter().map(|event| event.version).collect();
        findings.unless(versions == (1..=order.version).collect::<Vec<_>>() && order.version > 0, || {
            format!("order {} is at version {} and its history has {versions:?}", order.id, order.version)
        });
        if let Some(last) = events.last() {
            findings.unless(last.status == order.status, || {
                format!("order {} is {} and its history ends {}", order.id, order.status, last.status)
            });
            findings.unless((last.kind == "DELETED") == order.is_deleted(), || {
                format!(
                    "order {} is deleted: {}, its history ends {}",
                    order.id,
                    order.is_deleted(),
                    last.kind
                )
            });
        }
        let mut previous: Option<&EventRow> = None;
        for event in events {
            findings.unless(is_legal(previous, event), || {
                format!(
                    "order {} went from {:?} to {} ({}) at version {}",
                    order.id,
                    previous.map(|event| (&event.status, event.kind.as_str())),
                    event.status,
                    event.kind,
                    event.version
                )
            });
            previous = Some(event);
        }
    }
    let known: std::collections::BTreeSet<_> = facts.orders().map(|order| order.id).collect();
    for id in histories.keys().filter(|id| !known.contains(id)) {
        findings.add(format!("there are events of {id}, which is no order"));
    }
    answers_are_in_the_history(facts, &mut findings);
    findings
}

fn is_legal(previous: Option<&EventRow>, event: &EventRow) -> bool {
    let status = event.status.as_str();
    let Some(previous) = previous else {
        return event.kind == "CREATED"
            && event.previous_status.is_none()
            && ["PENDING", "PROCESSING", "REJECTED"].contains(&status);
    };
    let before = previous.status.as_str();
    let in_order = match (previous.position, event.position) {
        (Some(before), Some(after)) => before < after,
        (before, None) => before.is_some() || previous.position.is_none(),
        (None, Some(_)) => false,
    };
    let step = match event.kind.as_str() {
        "STATUS_CHANGED" => {
            let next: &[&str] = match before {
                "PENDING" => &["PROCESSING", "REJECTED", "CANCELLED"],
                "PROCESSING" => &["SHIPPED", "CANCELLED"],
                "SHIPPED" => &["DELIVERED"],
                _ => &[],
            };
            next.contains(&status) && event.previous_status.as_deref() == Some(before)
        }
        "DETAILS_CHANGED" => status == before,
        "DELETED" => status == before && status != "SHIPPED",
        _ => false,
    };
    in_order && step && previous.kind != "DELETED"
}

/// A change that was answered has happened: its version is in the history, in the status that was answered.
fn answers_are_in_the_history(facts: &Facts, findings: &mut Findings) {
    let histories = facts.histories();
    for told in &facts.told {
        let version = usize::try_from(told.version - 1).ok();
        let event =
            histories.get(&told.order_id).zip(version).and_then(|(events, at)| events.get(at).copied());
        findings.unless(event.is_some_and(|event| event.status == told.status), || {
            format!(
                "version {} of order {} was answered as {}, its history says {:?}",
                told.version,
                told.order_id,
                told.status,
                event.map(|event| &event.status)
            )
        });
    }
}
