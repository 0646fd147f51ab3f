//! I6 and I8: what was committed was published, and nothing but poison was given up on.

use super::{Facts, Findings, Promise};

/// I6: positions run from 1 without holes, and each event was published under its own: so the table says, and so it was
/// heard where somebody listened. That each took effect once is in the stock.
pub(super) fn events_are_told(facts: &Facts) -> Findings {
    let mut findings = Findings::of(Promise::EventsAreTold);
    let mut positions = Vec::with_capacity(facts.events.len());
    for event in &facts.events {
        let name = || format!("version {} of order {}", event.version, event.order_id);
        findings.unless(event.is_published(), || format!("{} was not published", name()));
        match event.position {
            Some(position) => positions.push(position),
            None => findings.add(format!("{} has no position", name())),
        }
        let heard = facts.heard.as_ref().map(|heard| heard.get(&(event.order_id, event.version)).copied());
        findings.unless(heard.is_none_or(|heard| heard == event.position), || {
            format!("{} was heard at {:?} instead of {:?}", name(), heard.flatten(), event.position)
        });
    }
    positions.sort_unstable();
    let holes = positions.iter().zip(1..).find(|(position, expected)| **position != *expected);
    if let Some((position, expected)) = holes {
        findings.add(format!("the positions have {position} where {expected} should be"));
    }
    findings
}

/// I8.
pub(super) fn dead_letters_are_poison(facts: &Facts) -> Findings {
    let mut findings = Findings::of(Promise::DeadLettersArePoison);
    let (mut found, mut expected) = (facts.dead_letters.clone(), facts.poison.clone());
    found.sort();
    expected.sort();
    findings.unless(found == expected, || format!("dead letters are {found:?}, poison was {expected:?}"));
    findings
}
