//! I7: each subscriber saw every update of its customer's orders once, in the order of their positions.

use super::facts::{EventRow, Followed};
use super::{Facts, Findings, Promise};

/// I7.
pub(super) fn subscribers_saw_all(facts: &Facts) -> Findings {
    let mut findings = Findings::of(Promise::SubscribersSawAll);
    let mut events: Vec<&EventRow> = facts.events.iter().filter(|event| event.position.is_some()).collect();
    events.sort_by_key(|event| event.position);
    for subscriber in &facts.subscribers {
        saw_all(subscriber, &events, &mut findings);
        for complaint in &subscriber.complaints {
            findings.add(format!("{} was told {complaint}", subscriber.name));
        }
    }
    findings
}

fn saw_all(subscriber: &Followed, events: &[&EventRow], findings: &mut Findings) {
    let name = &subscriber.name;
    let (order_id, version) = subscriber.from;
    let begin = match version {
        // Before the order's first version: that is the first update.
        0 => events.iter().position(|event| event.order_id == order_id),
        _ => events
            .iter()
            .position(|event| event.order_id == order_id && event.version == version)
            .map(|index| index + 1),
    };
    let Some(begin) = begin else {
        return findings.add(format!("{name} began at an event that isn't there"));
    };
    let expected: Vec<_> = events[begin..]
        .iter()
        .filter(|event| event.customer_id == subscriber.customer)
        .map(|event| (event.order_id, event.version, event.status.as_str()))
        .collect();
    let seen: Vec<_> =
        subscriber.seen.iter().map(|seen| (seen.order_id, seen.version, seen.status.as_str())).collect();
    let agreed = expected.iter().zip(&seen).take_while(|(expected, seen)| expected == seen).count();
    findings.unless(expected == seen, || {
        format!(
            "{name} saw {} updates of {}; the first {agreed} are right, then it saw {:?} where {:?} was due",
            seen.len(),
            expected.len(),
            seen.get(agreed),
            expected.get(agreed),
        )
    });
}
