//! A circuit breaker per service: while the service doesn't answer, requests fail at once.

use metrics::Gauge;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Unanswered requests in a row before the breaker opens.
const FAILURES_TO_OPEN: u32 = 5;
/// How long the breaker stays open before one request probes the service.
const PROBE_AFTER: Duration = Duration::from_secs(1);

/// Opens after [`FAILURES_TO_OPEN`] unanswered requests in a row, then admits one probe per [`PROBE_AFTER`], and closes once
/// a request is answered.
#[derive(Debug)]
pub(crate) struct Breaker {
    state: Mutex<State>,
    open: Gauge,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    probe_at: Option<Instant>,
}

impl Breaker {
    /// A closed breaker. The gauge is 1 while the breaker is open, and 0 otherwise.
    pub(crate) fn new(open: Gauge) -> Self {
        open.set(0.0);
        Self { state: Mutex::default(), open }
    }

    /// Records a reply, whether a response or a failure.
    pub(crate) fn answered(&self) {
        *self.locked() = State::default();
        self.open.set(0.0);
    }

    /// Whether a request may be sent. While open, admits one request per probe interval.
    pub(crate) fn admits(&self, now: Instant) -> bool {
        let mut state = self.locked();
        let admits = state.probe_at.is_none_or(|probe_at| now >= probe_at);
        if admits {
            state.probe_at = state.probe_at.map(|_| now + PROBE_AFTER);
        }
        admits
    }

    /// Records that no reply came in time.
    pub(crate) fn unanswered(&self, now: Instant) {
        let mut state = self.locked();
        state.failures = state.failures.saturating_add(1);
        if state.failures >= FAILURES_TO_OPEN {
            state.probe_at = Some(now + PROBE_AFTER);
            self.open.set(1.0);
        }
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds this lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_probes_and_closes_on_an_answer() {
        let breaker = Breaker::new(Gauge::noop());
        let start = Instant::now();
        for _ in 1..FAILURES_TO_OPEN {
            breaker.unanswered(start);
        }
        assert!(breaker.admits(start));
        breaker.unanswered(start);
        assert!(!breaker.admits(start), "open");
        assert!(breaker.admits(start + PROBE_AFTER), "one probe");
        assert!(!breaker.admits(start + PROBE_AFTER), "one only");
        breaker.unanswered(start + PROBE_AFTER);
        assert!(!breaker.admits(start + PROBE_AFTER), "the probe failed");
        breaker.answered();
        assert!(breaker.admits(start + PROBE_AFTER), "closed");
    }

    #[test]
    fn an_answer_in_between_starts_the_count_again() {
        let breaker = Breaker::new(Gauge::noop());
        for _ in 0..3 * FAILURES_TO_OPEN {
            breaker.unanswered(Instant::now());
            breaker.answered();
        }
        assert!(breaker.admits(Instant::now()));
    }
}
