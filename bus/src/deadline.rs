//! Until when an answer is of use: measured on a monotonic clock, sent as what is left of it.

use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::message::{Message, header};

/// How far the wall clocks of two machines may differ before `x-deadline` refuses what `expiration` allows.
const CLOCK_TOLERANCE_MS: i64 = 2_000;

/// The moment after which nobody waits any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// So long from now.
    pub fn after(limit: Duration) -> Self {
        Self(Instant::now() + limit)
    }

    /// What is left of it; zero once it has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether it has passed.
    pub fn has_passed(self) -> bool {
        self.remaining().is_zero()
    }

    /// The earlier of this one and `limit` from now.
    pub fn at_most(self, limit: Duration) -> Self {
        self.min(Self::after(limit))
    }

    /// The deadline as a future, for `select!`.
    pub async fn passed(self) {
        tokio::time::sleep_until(self.0.into()).await;
    }

    /// The deadline of a request received just now: `expiration` from now, and `default` where the
    /// sender named none. The sender's wall clock only refuses what is past beyond doubt.
    pub fn received(message: &Message, clock: &dyn Clock, default: Duration) -> Option<Self> {
        let late_ms =
            message.header_int(header::DEADLINE).map(|at_ms| clock.now().unix_ms().saturating_sub(at_ms));
        if late_ms.is_some_and(|late_ms| late_ms > CLOCK_TOLERANCE_MS) {
            return None;
        }
        Some(Self::after(message.expiration.unwrap_or(default).min(default)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn request(deadline_ms: i64) -> Message {
        let mut message = Message { expiration: Some(Duration::from_secs(1)), ..Message::default() };
        message.set_header(header::DEADLINE, deadline_ms.into());
        message
    }

    #[test]
    fn only_what_is_past_beyond_doubt_is_refused_by_the_wall_clock() {
        let clock = ManualClock::at("2026-11-23T19:10:51.000Z".parse().unwrap());
        let now_ms = clock.now().unix_ms();
        let received =
            |deadline_ms| Deadline::received(&request(deadline_ms), &clock, Duration::from_secs(9));
        assert!(received(now_ms - 2_000).is_some());
        assert!(received(now_ms - 2_001).is_none());
        assert!(received(now_ms + 1).unwrap().remaining() <= Duration::from_secs(1));
    }
}
