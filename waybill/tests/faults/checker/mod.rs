//! Whether every promise was kept, judged from outside: the tables, the API, the queues, and what clients noted.
//!
//! Gathering ([`facts`]) and judging are apart: a judge is a plain function of facts, which is how the checker is checked.

mod changes;
mod delivery;
mod facts;
mod history;
mod orders;
mod quiescence;
mod stock;
mod subscribers;

use std::fmt;

pub(crate) use facts::{EventRow, Facts};
pub(crate) use quiescence::{
    assert_promises_kept, assert_promises_kept_with, facts_at_rest, lasting_violations,
};

/// What is promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Promise {
    /// I1: every ok has exactly one order.
    EveryOkHasOneOrder,
    /// I2: every definite error left nothing, of an order or of a change.
    ErrorsLeaveNothing,
    /// I3: every unknown, tried again under its key, ends in exactly one order.
    UnknownsAreResolved,
    /// I4: stock agrees with the orders and was never oversold.
    StockAgrees,
    /// I5: each order's history is a legal path without gaps, and holds every answered change.
    HistoriesAreLegal,
    /// I6: every committed event was published.
    EventsAreTold,
    /// I7: each subscriber saw every update once, in order.
    SubscribersSawAll,
    /// I8: dead letters are exactly the poison that was injected.
    DeadLettersArePoison,
    /// The system comes to rest, and then the API says what the tables say.
    ComesToRest,
}

/// One promise broken, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) promise: Promise,
    pub(crate) what: String,
}

impl fmt::Display for Promise {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::EveryOkHasOneOrder => "I1",
            Self::ErrorsLeaveNothing => "I2",
            Self::UnknownsAreResolved => "I3",
            Self::StockAgrees => "I4",
            Self::HistoriesAreLegal => "I5",
            Self::EventsAreTold => "I6",
            Self::SubscribersSawAll => "I7",
            Self::DeadLettersArePoison => "I8",
            Self::ComesToRest => "rest",
        })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.promise, self.what)
    }
}

/// Collects what one judge finds.
struct Findings {
    promise: Promise,
    violations: Vec<Violation>,
}

impl Findings {
    fn of(promise: Promise) -> Self {
        Self { promise, violations: Vec::new() }
    }

    fn add(&mut self, what: impl Into<String>) {
        self.violations.push(Violation { promise: self.promise, what: what.into() });
    }

    fn unless(&mut self, kept: bool, what: impl FnOnce() -> String) {
        if !kept {
            self.add(what());
        }
    }
}

/// Every promise that the facts show broken.
pub(crate) fn judge(facts: &Facts) -> Vec<Violation> {
    let judges = [
        orders::every_ok_has_one_order,
        orders::errors_leave_nothing,
        orders::unknowns_are_resolved,
        stock::stock_agrees,
        history::histories_are_legal,
        changes::answered_changes_were_made,
        changes::refused_changes_left_nothing,
        delivery::events_are_told,
        subscribers::subscribers_saw_all,
        delivery::dead_letters_are_poison,
        orders::the_api_agrees,
    ];
    judges.iter().flat_map(|judge| judge(facts).violations).collect()
}
