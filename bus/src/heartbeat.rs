//! Heartbeats of the loops that must run for as long as their process does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// How often a loop beats while it waits.
const BEAT_EVERY: Duration = Duration::from_secs(2);

/// A loop's heartbeat. The loop owns it and beats in each iteration; once the loop has ended, even by a panic, the
/// heartbeat is dropped. A loop beats even while the broker or the database is unavailable: each of its waits is bounded,
/// or is spent in [`while_waiting`](Heartbeat::while_waiting). A loop that stops beating hangs.
#[derive(Debug, Clone)]
pub struct Heartbeat(Arc<Mutex<Instant>>);

/// Observes a [`Heartbeat`] without keeping it alive.
#[derive(Debug, Clone)]
pub struct HeartbeatWatch(Weak<Mutex<Instant>>);

impl Heartbeat {
    /// A heartbeat that beats now.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// Records a beat.
    pub fn beat(&self) {
        *locked(&self.0) = Instant::now();
    }

    /// Waits for a future that may take without bound, and beats meanwhile.
    pub async fn while_waiting<T>(&self, wait: impl Future<Output = T>) -> T {
        self.beat();
        let mut wait = std::pin::pin!(wait);
        let mut beats = interval_at(Instant::now() + BEAT_EVERY, BEAT_EVERY);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                done = &mut wait => return done,
                _ = beats.tick() => self.beat(),
            }
        }
    }

    /// Returns an observer.
    pub fn watch(&self) -> HeartbeatWatch {
        HeartbeatWatch(Arc::downgrade(&self.0))
    }
}

impl Default for Heartbeat {
    fn default() -> Self {
        Self::new()
    }
}

impl HeartbeatWatch {
    /// Returns the time of the last beat; nothing if the loop has ended.
    pub fn last_beat(&self) -> Option<Instant> {
        self.0.upgrade().map(|beat| *locked(&beat))
    }
}

fn locked(beat: &Mutex<Instant>) -> MutexGuard<'_, Instant> {
    beat.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_beats_only_while_waiting_through_it() {
        let heartbeat = Heartbeat::new();
        let watch = heartbeat.watch();
        let silence = || watch.last_beat().unwrap().elapsed();
        heartbeat.while_waiting(tokio::time::sleep(Duration::from_secs(60))).await;
        assert!(silence() <= BEAT_EVERY, "{:?}", silence());
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(silence() >= Duration::from_secs(60), "{:?}", silence());
        heartbeat.beat();
        assert_eq!(silence(), Duration::ZERO);
    }

    #[tokio::test]
    async fn it_ends_with_the_loop_that_panicked() {
        let heartbeat = Heartbeat::new();
        let watch = heartbeat.watch();
        let looping = tokio::spawn(async move {
            heartbeat.beat();
            panic!("on purpose");
        });
        assert!(looping.await.is_err());
        assert_eq!(watch.last_beat(), None);
    }
}
