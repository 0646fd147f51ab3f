//! Signs of life of the loops that have to go on for as long as their process does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// How often a loop beats while it rightly waits.
const BEAT_EVERY: Duration = Duration::from_secs(2);

/// A loop's sign of life. The loop beats each time it goes round, and owns it: with the loop, however that ends, the
/// heartbeat is gone.
///
/// Broker and database may be away for as long as they like, and a loop beats nevertheless: each of its waits is bounded,
/// or is spent in [`while_waiting`](Heartbeat::while_waiting). Silent is a loop that hangs in the middle of something.
#[derive(Debug, Clone)]
pub struct Heartbeat(Arc<Mutex<Instant>>);

/// A look at a [`Heartbeat`] from outside.
#[derive(Debug, Clone)]
pub struct HeartbeatWatch(Weak<Mutex<Instant>>);

impl Heartbeat {
    /// One that beats now.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// The loop goes on.
    pub fn beat(&self) {
        *locked(&self.0) = Instant::now();
    }

    /// Waits for what may rightly take for ever, and beats meanwhile.
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

    /// For whoever looks after the loop.
    pub fn watch(&self) -> HeartbeatWatch {
        HeartbeatWatch(Arc::downgrade(&self.0))
    }
}

/// One that nobody watches.
impl Default for Heartbeat {
    fn default() -> Self {
        Self::new()
    }
}

impl HeartbeatWatch {
    /// When it beat last; nothing where the loop has ended.
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
    async fn it_beats_while_it_rightly_waits_and_is_silent_otherwise() {
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
    async fn it_is_gone_with_the_loop_that_panicked() {
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
