use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bus::heartbeat::{Heartbeat, HeartbeatWatch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ReadinessHandle;

/// How long a loop may go without a heartbeat, in addition to the longest request that it may wait for: several times the
/// longest iteration, in which every statement nearly runs into the database's own timeouts. A restart costs less than a
/// loop that is dead for so long, and more than one that is slow.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(120);

/// The loops of a process that only a restart can bring back once they are dead. Clones share them.
#[derive(Debug, Clone)]
pub struct Liveness {
    loops: Arc<Mutex<Vec<Watched>>>,
    silence_limit: Duration,
}

#[derive(Debug)]
struct Watched {
    name: String,
    heartbeat: HeartbeatWatch,
    needs: Vec<ReadinessHandle>,
    stop: CancellationToken,
    was_alive: bool,
}

/// The body of `/livez`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LivenessReport {
    pub alive: bool,
    /// The names of the dead loops, sorted.
    pub dead: Vec<String>,
    /// Every loop that has to keep running, by name.
    pub loops: Vec<LoopReport>,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoopReport {
    pub name: String,
    /// Time since the last heartbeat; none if the loop has ended.
    pub silent_ms: Option<u64>,
}

impl Liveness {
    /// A registry without loops is alive. Loops may be silent for `silence_limit`.
    pub fn new(silence_limit: Duration) -> Self {
        Self { loops: Arc::default(), silence_limit }
    }

    /// Watches a loop through the heartbeat that the caller hands to it. The loop is dead once it is silent for too long,
    /// and at once if it ends, by a panic or otherwise, before `stop`.
    ///
    /// Silence counts only while every condition in `needs` is met: a loop that waits for a database that doesn't answer
    /// would wait after a restart too.
    pub fn watch(
        &self,
        name: impl Into<String>,
        needs: &[&ReadinessHandle],
        stop: &CancellationToken,
    ) -> Heartbeat {
        let heartbeat = Heartbeat::new();
        let watched = Watched {
            name: name.into(),
            heartbeat: heartbeat.watch(),
            needs: needs.iter().map(|&need| need.clone()).collect(),
            stop: stop.clone(),
            was_alive: true,
        };
        self.loops().push(watched);
        heartbeat
    }

    pub fn report(&self) -> LivenessReport {
        let (mut dead, mut reports) = (Vec::new(), Vec::new());
        let mut loops = self.loops();
        // A loop that was stopped may end.
        loops.retain(|watched| !watched.stop.is_cancelled());
        for watched in loops.iter_mut() {
            let silent = watched.heartbeat.last_beat().map(|beat| beat.elapsed());
            let alive = watched.is_alive(self.silence_limit);
            if !alive {
                dead.push(watched.name.clone());
            }
            if std::mem::replace(&mut watched.was_alive, alive) && !alive {
                tracing::error!(loop_name = watched.name, ?silent, "loop is dead");
            }
            let silent_ms = silent.map(|silent| u64::try_from(silent.as_millis()).unwrap_or(u64::MAX));
            reports.push(LoopReport { name: watched.name.clone(), silent_ms });
        }
        dead.sort();
        reports.sort_by(|one, other| one.name.cmp(&other.name));
        LivenessReport { alive: dead.is_empty(), dead, loops: reports }
    }

    fn loops(&self) -> MutexGuard<'_, Vec<Watched>> {
        self.loops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    fn is_alive(&self, silence_limit: Duration) -> bool {
        let Some(last_beat) = self.heartbeat.last_beat() else { return false };
        let needs: Option<Vec<Instant>> = self.needs.iter().map(ReadinessHandle::met_since).collect();
        let Some(needs) = needs else { return true };
        let since = needs.into_iter().fold(last_beat, Instant::max);
        since.elapsed() <= silence_limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Readiness;

    const LIMIT: Duration = Duration::from_secs(60);

    fn dead(liveness: &Liveness) -> Vec<String> {
        let report = liveness.report();
        assert_eq!(report.alive, report.dead.is_empty());
        report.dead
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_hangs_is_named_and_one_that_iterates_is_not() {
        let (liveness, stop) = (Liveness::new(LIMIT), CancellationToken::new());
        let commands = liveness.watch("order commands", &[], &stop);
        let requests = liveness.watch("order requests", &[], &stop);
        requests.while_waiting(tokio::time::sleep(LIMIT)).await;
        assert!(dead(&liveness).is_empty(), "not longer than the limit");
        requests.while_waiting(tokio::time::sleep(Duration::from_secs(1))).await;
        assert_eq!(dead(&liveness), ["order commands"]);
        commands.beat();
        assert!(dead(&liveness).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn silence_does_not_count_while_what_a_loop_needs_is_away() {
        let (liveness, stop) = (Liveness::new(LIMIT), CancellationToken::new());
        let database = Readiness::default().condition("database");
        let _commands = liveness.watch("order commands", &[&database], &stop);
        tokio::time::sleep(2 * LIMIT).await;
        assert!(dead(&liveness).is_empty(), "not there yet");
        database.set(true);
        tokio::time::sleep(LIMIT).await;
        assert!(dead(&liveness).is_empty());
        database.set_missing("no answer");
        tokio::time::sleep(2 * LIMIT).await;
        assert!(dead(&liveness).is_empty(), "away");
        database.set(true);
        tokio::time::sleep(2 * LIMIT).await;
        assert_eq!(dead(&liveness), ["order commands"], "back, and the loop hangs nevertheless");
    }

    #[tokio::test]
    async fn a_loop_that_ended_is_dead_at_once_unless_it_was_stopped() {
        let (liveness, stop) = (Liveness::new(LIMIT), CancellationToken::new());
        let panicking = liveness.watch("relay", &[], &stop);
        let looping = tokio::spawn(async move {
            panicking.beat();
            panic!("on purpose");
        });
        assert!(looping.await.is_err());
        let report = liveness.report();
        assert_eq!(report.dead, ["relay"]);
        assert_eq!(report.loops, [LoopReport { name: "relay".into(), silent_ms: None }]);
        stop.cancel();
        assert!(dead(&liveness).is_empty());
    }
}
