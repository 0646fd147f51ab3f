//! Pauses between attempts.

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::time::Duration;

/// Pauses that double with each failure in a row up to a limit, each shortened by up to a half, so that callers that
/// failed together do not try again together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The longest pause after the first failure.
    pub first: Duration,
    /// The longest pause after any number of failures.
    pub limit: Duration,
}

impl Backoff {
    /// Returns the pause after so many failures in a row, at least one, shortened at random.
    pub fn pause(self, failures: u32) -> Duration {
        self.seeded_pause(failures, rand::random::<u64>())
    }

    /// Returns the pause after so many failures in a row, at least one, shortened by a share that depends on `seed` and
    /// `failures` alone: a simulation that repeats its seed gets the same pauses.
    pub fn seeded_pause(self, failures: u32, seed: impl Hash) -> Duration {
        let doublings = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        shortened(self.first.saturating_mul(doublings).min(self.limit), 500, (failures, seed))
    }
}

/// Shortens a pause by less than so many thousandths of it, drawn from `seed`.
pub(crate) fn shortened(pause: Duration, thousandths: u64, seed: impl Hash) -> Duration {
    let mut hasher = DefaultHasher::new();
    seed.hash(&mut hasher);
    let kept = 1_000 - hasher.finish() % thousandths;
    pause * u32::try_from(kept).expect("at most 1,000") / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { first: Duration::from_millis(250), limit: Duration::from_secs(3) };

    #[test]
    fn pauses_double_up_to_the_limit_and_are_at_least_half_of_it() {
        for (failures, longest_ms) in
            [(0, 250), (1, 250), (2, 500), (4, 2_000), (5, 3_000), (u32::MAX, 3_000)]
        {
            let longest = Duration::from_millis(longest_ms);
            for seed in 0..100 {
                for pause in [BACKOFF.pause(failures), BACKOFF.seeded_pause(failures, seed)] {
                    assert!(pause > longest / 2 && pause <= longest, "{failures}: {pause:?}");
                }
            }
        }
    }

    #[test]
    fn a_seed_repeats_its_pauses_and_two_seeds_differ() {
        let pauses =
            |seed: &str| (1..10).map(|failures| BACKOFF.seeded_pause(failures, seed)).collect::<Vec<_>>();
        assert_eq!(pauses("one"), pauses("one"));
        assert_ne!(pauses("one"), pauses("two"));
    }
}
