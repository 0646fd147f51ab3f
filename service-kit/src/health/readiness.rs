use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// One condition, as last said.
#[derive(Debug, Clone)]
struct Part {
    name: String,
    met: bool,
    since: Instant,
}

#[derive(Debug, Default)]
struct Board {
    next: u64,
    parts: BTreeMap<u64, Part>,
    draining: bool,
}

impl Board {
    /// Each condition by name, and whether it is met.
    fn conditions(&self) -> BTreeMap<String, bool> {
        let mut conditions = BTreeMap::new();
        for part in self.parts.values() {
            *conditions.entry(part.name.clone()).or_insert(true) &= part.met;
        }
        conditions
    }

    fn missing(&self) -> Vec<String> {
        self.conditions().into_iter().filter(|(_, met)| !met).map(|(name, _)| name).collect()
    }

    fn add(&mut self, name: String) -> u64 {
        self.next += 1;
        self.parts.insert(self.next, Part { name, met: false, since: Instant::now() });
        self.next
    }

    fn part(&self, part: u64) -> &Part {
        self.parts.get(&part).expect("a part stays as long as its board")
    }

    /// Whether that changed anything.
    fn set(&mut self, part: u64, met: bool) -> bool {
        let part = self.parts.get_mut(&part).expect("a part stays as long as its board");
        let changed = part.met != met;
        if changed {
            (part.met, part.since) = (met, Instant::now());
        }
        changed
    }
}

/// What a process needs before it should get work. Cloning shares it; several services in one process share one.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    board: Arc<watch::Sender<Board>>,
}

/// One condition of a [`Readiness`], held by whoever knows whether it is met.
#[derive(Debug, Clone)]
pub struct ReadinessHandle {
    board: Arc<watch::Sender<Board>>,
    part: u64,
    name: Arc<str>,
}

/// What `/readyz` says.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ReadinessReport {
    /// Nothing is missing and the process isn't draining.
    pub ready: bool,
    /// The process serves what it has and wants nothing new.
    pub draining: bool,
    /// The names of the conditions that are not met, sorted.
    pub missing: Vec<String>,
}

impl Readiness {
    /// A registry without conditions, which is ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a condition, at first not met. Two of one name count as one in reports: met where both are.
    pub fn condition(&self, name: impl Into<String>) -> ReadinessHandle {
        let name = name.into();
        let mut part = 0;
        self.board.send_modify(|board| part = board.add(name.clone()));
        ReadinessHandle { board: Arc::clone(&self.board), part, name: name.into() }
    }

    /// From here on not ready, whatever the conditions say.
    pub fn start_draining(&self) {
        self.board.send_modify(|board| board.draining = true);
    }

    /// How things stand now.
    pub fn report(&self) -> ReadinessReport {
        let board = self.board.borrow();
        let missing = board.missing();
        ReadinessReport { ready: missing.is_empty() && !board.draining, draining: board.draining, missing }
    }

    /// Each condition by name, and whether it is met.
    pub fn conditions(&self) -> BTreeMap<String, bool> {
        self.board.borrow().conditions()
    }

    /// Returns as soon as every condition is met; the caller bounds the wait.
    pub async fn ready(&self) {
        let mut changes = self.board.subscribe();
        let ready = |board: &Board| !board.draining && board.parts.values().all(|part| part.met);
        changes.wait_for(ready).await.expect("this registry holds the sender");
    }
}

impl ReadinessHandle {
    /// Says whether the condition is met.
    pub fn set(&self, met: bool) {
        self.change(met, "");
    }

    /// Says that the condition is not met; the reason is logged where that is news.
    pub fn set_missing(&self, reason: impl std::fmt::Display) {
        self.change(false, &reason.to_string());
    }

    /// Since when the condition is met, if it is.
    pub fn met_since(&self) -> Option<Instant> {
        let board = self.board.borrow();
        let part = board.part(self.part);
        part.met.then_some(part.since)
    }

    /// Keeps the condition true to what `probe` answers, asked every few seconds, until dropped.
    pub async fn follow<E: std::fmt::Display>(self, every: Duration, probe: impl AsyncFn() -> Result<(), E>) {
        loop {
            match tokio::time::timeout(every, probe()).await {
                Ok(Ok(())) => self.set(true),
                Ok(Err(error)) => self.set_missing(error),
                Err(_) => self.set_missing("no answer in time"),
            }
            tokio::time::sleep(every).await;
        }
    }

    fn change(&self, met: bool, reason: &str) {
        let changed = self.board.send_if_modified(|board| board.set(self.part, met));
        if changed && met {
            tracing::info!(condition = &*self.name, "ready");
        } else if changed && !self.board.borrow().draining {
            tracing::warn!(condition = &*self.name, reason, "not ready");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_ready_when_every_condition_is_met() {
        let readiness = Readiness::new();
        assert!(readiness.report().ready);
        let (broker, database) = (readiness.condition("broker"), readiness.condition("database"));
        assert_eq!(readiness.report().missing, ["broker", "database"]);
        broker.set(true);
        assert_eq!(readiness.report().missing, ["database"]);
        database.set(true);
        assert!(readiness.report().ready);
        broker.set_missing("connection reset");
        assert_eq!(
            readiness.report(),
            ReadinessReport { ready: false, draining: false, missing: vec!["broker".into()] }
        );
    }

    #[test]
    fn conditions_of_one_name_are_met_when_all_are() {
        let readiness = Readiness::new();
        let (first, second) = (readiness.condition("broker"), readiness.condition("broker"));
        assert_eq!(readiness.report().missing, ["broker"]);
        first.set(true);
        assert_eq!(readiness.report().missing, ["broker"]);
        second.set(true);
        assert!(readiness.report().ready);
    }

    #[test]
    fn a_draining_process_is_not_ready() {
        let readiness = Readiness::new();
        readiness.start_draining();
        assert_eq!(readiness.report(), ReadinessReport { ready: false, draining: true, missing: vec![] });
    }

    #[tokio::test]
    async fn waiting_for_readiness_ends_when_the_last_condition_is_met() {
        let readiness = Readiness::new();
        let broker = readiness.condition("broker");
        let waiting = tokio::spawn({
            let readiness = readiness.clone();
            async move { readiness.ready().await }
        });
        broker.set(true);
        waiting.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_condition_follows_its_probe_and_a_probe_that_hangs_is_not_met() {
        let readiness = Readiness::new();
        let (answer, answers) = watch::channel(Some(Ok(())));
        let probe = async move || {
            let answer: Option<Result<(), &str>> = *answers.borrow();
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        };
        let following = readiness.condition("database").follow(Duration::from_secs(2), probe);
        let watching = async {
            for (next, ready) in
                [(Some(Ok(())), true), (Some(Err("away")), false), (Some(Ok(())), true), (None, false)]
            {
                answer.send_replace(next);
                // Longer than a pause and a probe that hangs take together.
                tokio::time::sleep(Duration::from_secs(5)).await;
                assert_eq!(readiness.report().ready, ready, "{next:?}");
            }
        };
        tokio::select! { () = following => unreachable!("it follows for ever"), () = watching => {} }
    }
}
