//! Wall clocks of processes, which an operator compares.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The answer to `<service>.clock`: the clock of the process that answers, and what it knows of others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockReport {
    /// The time by its clock.
    pub now: Timestamp,
    /// The clocks of the processes that have sent it requests.
    pub senders: Vec<SenderClock>,
}

/// The clock of a process that sends requests, by the least time that one of them seemed to take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SenderClock {
    /// The process, as its queues are named.
    pub process: String,
    /// Milliseconds that its clock is ahead, less the time on the way; negative if it is behind.
    pub ahead_ms: i64,
}
