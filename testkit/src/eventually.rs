//! Waiting for a condition instead of a length of time.

use std::panic::Location;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long [`eventually`] waits: long enough for a loaded machine, since it is only spent when a test fails.
pub const WAIT_LIMIT: Duration = Duration::from_secs(30);

const PAUSE: Duration = Duration::from_millis(25);

/// What a probe answers: `true`, `Some` or `Ok` when the condition holds.
pub trait Probe {
    /// The value of a condition that holds.
    type Value;

    /// The value, or why the condition doesn't hold yet.
    fn outcome(self) -> Result<Self::Value, String>;
}

impl Probe for bool {
    type Value = ();

    fn outcome(self) -> Result<(), String> {
        self.then_some(()).ok_or_else(|| "it was false".to_owned())
    }
}

impl<T> Probe for Option<T> {
    type Value = T;

    fn outcome(self) -> Result<T, String> {
        self.ok_or_else(|| "there was none".to_owned())
    }
}

impl<T, E: std::fmt::Debug> Probe for Result<T, E> {
    type Value = T;

    fn outcome(self) -> Result<T, String> {
        self.map_err(|error| format!("at last: {error:?}"))
    }
}

/// Probes until the condition holds; returns its value.
///
/// # Panics
/// With what it waited for, where, and the last answer, when the condition doesn't hold within [`WAIT_LIMIT`].
#[track_caller]
pub fn eventually<P: Probe>(what: &str, probe: impl AsyncFnMut() -> P) -> impl Future<Output = P::Value> {
    eventually_within(WAIT_LIMIT, what, probe)
}

/// As [`eventually`], with a limit of the caller's. A probe that hangs is cancelled at the limit.
///
/// # Panics
/// As [`eventually`] does.
#[track_caller]
pub fn eventually_within<P: Probe>(
    limit: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> P,
) -> impl Future<Output = P::Value> {
    let caller = Location::caller();
    async move {
        let deadline = Instant::now() + limit;
        let mut last = "the probe gave no answer".to_owned();
        while let Ok(answer) = tokio::time::timeout_at(deadline, probe()).await {
            match answer.outcome() {
                Ok(value) => return value,
                Err(reason) => last = reason,
            }
            if Instant::now() >= deadline {
                break;
            }
            sleep(PAUSE).await;
        }
        panic!("waited {limit:?} until {what}; {last} (at {caller})");
    }
}
