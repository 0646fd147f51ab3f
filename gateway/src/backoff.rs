use std::time::Duration;

/// How long to pause before what failed is tried again: doubling, with jitter, up to a limit.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The longest pause after the first failure.
    pub first: Duration,
    /// The longest pause at all.
    pub limit: Duration,
}

impl Backoff {
    /// The pause after so many failures in a row, at least one: between half of the longest and the longest.
    pub(crate) fn pause(self, failures: u32) -> Duration {
        let doubled =
            self.first.saturating_mul(1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
        // Copies that failed together shall not try again together.
        doubled.min(self.limit).mul_f64(rand::random_range(0.5..1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit() {
        let backoff = Backoff { first: Duration::from_millis(100), limit: Duration::from_secs(1) };
        for (failures, longest_ms) in [(1, 100), (2, 200), (4, 800), (5, 1_000), (99, 1_000)] {
            let pause = backoff.pause(failures).as_millis();
            assert!((longest_ms / 2..=longest_ms).contains(&pause), "{failures}: {pause}");
        }
    }
}
