use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bus::heartbeat::{Heartbeat, HeartbeatWatch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::ReadinessHandle;

/// How long a loop may be silent, beside the longest request that it may wait for: several times what its longest
/// round takes where every statement just so escapes the database's own limits. A restart costs less than a loop that is
/// dead for so long, and more than one that is slow.
pub const SILENCE_LIMIT: Duration = Duration::from_secs(120);

/// The loops of a process that only a restart can bring back once they are dead. Cloning shares it.
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

/// What `/livez` says.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LivenessReport {
    /// Nothing is dead.
    pub alive: bool,
    /// The names of the dead loops, sorted.
    pub dead: Vec<String>,
    /// Every loop that is to go on, by name.
    pub loops: Vec<LoopReport>,
}

/// One loop.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoopReport {
    /// What it does.
    pub name: String,
    /// How long ago it beat last; none where it has ended.
    pub silent_ms: Option<u64>,
}

impl Liveness {
    /// A registry without loops, which is alive. They may be silent for [`SILENCE_LIMIT`].
    pub fn new() -> Self {
        Self::with_silence_limit(SILENCE_LIMIT)
    }

    /// A registry whose loops are dead once they are silent for longer.
    pub fn with_silence_limit(silence_limit: Duration) -> Self {
        Self { loops: Arc::default(), silence_limit }
    }

    /// Watches a loop by the heartbeat that it is to be given. It is dead when it is silent for too long, and at once when it
    /// has ended, by a panic or otherwise, before `stop`.
    ///
    /// Silence counts only from when everything that it `needs` is there: what waits for a database that doesn't answer
    /// waits no less after a restart.
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

    /// How things stand now.
    pub fn report(&self) -> LivenessReport {
        let (mut dead, mut reports) = (Vec::new(), Vec::new());
        let mut loops = self.loops();
        // What was told to stop may end.
        loops.retain(|watched| !watched.stop.is_cancelled());
        for watched in loops.iter_mut() {
            let silent = watched.heartbeat.last_beat().map(|beat| beat.elapsed());
            let alive = watched.is_alive(self.silence_limit);
            if !alive {
                dead.push(watched.name.clone());
            }
            if std::mem::replace(&mut watched.was_alive, alive) && !alive {
                tracing::error!(part = watched.name, ?silent, "dead");
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

impl Default for Liveness {
    fn default() -> Self {
        Self::new()
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
    async fn a_loop_that_hangs_is_named_and_one_that_goes_round_is_not() {
        let (liveness, stop) = (Liveness::with_silence_limit(LIMIT), CancellationToken::new());
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
        let (liveness, stop) = (Liveness::with_silence_limit(LIMIT), CancellationToken::new());
        let database = Readiness::new().condition("database");
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
        assert_eq!(dead(&liveness), ["order commands"], "back, and it hangs nevertheless");
    }

    #[tokio::test]
    async fn a_loop_that_ended_is_dead_at_once_unless_it_was_told_to() {
        let (liveness, stop) = (Liveness::with_silence_limit(LIMIT), CancellationToken::new());
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
