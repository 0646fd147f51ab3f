//! Heartbeats of the loops that must run for as long as their process does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// How often a loop beats while it waits.
const BEAT_EVERY: Duration = Duration::from_secs(2);

/// A loop's heartbeat. The loop owns it and beats in each iteration; once the loop has ended, even by a panic, the
/// heartbeat is dropped. A loop beats even while the broker or the database is unavailable: each of its waits is bounded,
/// or is spent in [`while_waiting`](Heartbeat::while_waiting). A loop that stops beating hangs.
#[derive(Debug, Clone)]
pub struct Heartbeat(Arc<Mutex<Beats>>);

/// Observes a [`Heartbeat`] without keeping it alive.
#[derive(Debug, Clone)]
pub struct HeartbeatWatch(Weak<Mutex<Beats>>);

/// Work that a loop has handed to a task, and that must go on as the loop itself must: while it does not beat, the heartbeat
/// is as old as its last beat, however often the loop beats. Dropped, it has ended.
#[derive(Debug)]
pub struct WorkBeat {
    heartbeat: Heartbeat,
    id: u64,
}

/// The last beats of a loop and of the work that it has handed to tasks.
#[derive(Debug)]
struct Beats {
    own: Instant,
    work: BTreeMap<u64, Instant>,
    last_id: u64,
}

impl Heartbeat {
    /// A heartbeat that beats now.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Beats { own: Instant::now(), work: BTreeMap::new(), last_id: 0 })))
    }

    /// Records a beat.
    pub fn beat(&self) {
        locked(&self.0).own = Instant::now();
    }

    /// Begins work in another task, which beats now.
    pub fn begin_work(&self) -> WorkBeat {
        let mut beats = locked(&self.0);
        beats.last_id += 1;
        let id = beats.last_id;
        beats.work.insert(id, Instant::now());
        drop(beats);
        WorkBeat { heartbeat: self.clone(), id }
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

impl WorkBeat {
    /// Records a beat.
    pub fn beat(&self) {
        locked(&self.heartbeat.0).work.insert(self.id, Instant::now());
    }
}

impl Drop for WorkBeat {
    fn drop(&mut self) {
        locked(&self.heartbeat.0).work.remove(&self.id);
    }
}

impl HeartbeatWatch {
    /// Returns the time of the last beat, of the loop or of its most silent work; nothing if the loop has ended.
    pub fn last_beat(&self) -> Option<Instant> {
        let beats = self.0.upgrade()?;
        let beats = locked(&beats);
        beats.work.values().copied().chain([beats.own]).min()
    }
}

fn locked(beats: &Mutex<Beats>) -> MutexGuard<'_, Beats> {
    beats.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[tokio::test(start_paused = true)]
    async fn it_is_as_silent_as_the_most_silent_work() {
        let heartbeat = Heartbeat::new();
        let watch = heartbeat.watch();
        let silence = || watch.last_beat().unwrap().elapsed();
        let (silent, busy) = (heartbeat.begin_work(), heartbeat.begin_work());
        tokio::time::sleep(Duration::from_secs(60)).await;
        heartbeat.beat();
        busy.beat();
        assert_eq!(silence(), Duration::from_secs(60));
        drop(silent);
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
