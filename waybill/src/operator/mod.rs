//! The operator's tools: what was given up on, whether all is well, and whether every promise was kept.
//!
//! Each tool asks through a [`reach::Reach`], which finds the system wherever it runs, and is answered by a
//! [`counter::Counter`] there: behind RabbitMQ, in the running process behind its desk, or over the broker's file while
//! nothing runs. What a tool makes of the answers is a pure function of its own, and so is what it prints.

pub(crate) mod counter;
pub(crate) mod reach;

pub(crate) mod audit;
pub(crate) mod dead_letters;
pub(crate) mod doctor;

mod print;

use std::process::ExitCode;

/// How a tool ended that could be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All is well, or all was done.
    Fine,
    /// Something was found, or not everything was done.
    Amiss,
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Fine => Self::SUCCESS,
            Verdict::Amiss => Self::FAILURE,
        }
    }
}
