//! PENDING orders, tried again from the database until they are PROCESSING, REJECTED or too old.

mod claiming;

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bus::deadline::Deadline;
use bus::heartbeat::Heartbeat;
use schema::order::OrderStatus;
use schema::time::Timestamp;
use store::failpoint::Failpoint;
use store::{StoreError, retrying};
use tokio_util::sync::CancellationToken;

use crate::backends::{Answer, Hurdle, Question, find_out};
use crate::context::Context;
use crate::domain::place::decide;
use crate::domain::{Changed, Finding};
use crate::orders::{NewEvent, Stored, save_all, traceparents};
pub(crate) use claiming::pending;
use claiming::{Again, claim, put_back};

/// Orders in one batch, and in one that finds out whether a service is back: the others need not be put off further
/// for that, and are due at once when it is.
const BATCH: u64 = 200;
const PROBE: u64 = 5;
/// How often due orders are looked for where there were none.
const POLL: Duration = Duration::from_millis(250);
/// The pause while a service that they need is away; doubles up to the limit. Together with the breaker's probe,
/// and an order's own pause, it bounds how long recovery goes unnoticed.
const AWAY_FIRST: Duration = Duration::from_millis(250);
const AWAY_LIMIT: Duration = Duration::from_millis(500);
/// The pause before one order is tried again; doubles with each try up to the limit.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_LIMIT: Duration = Duration::from_secs(3);

/// Tries PENDING orders again. Any number of copies may: an order is claimed for as long as a try may take.
pub struct RetryPending {
    context: Context,
    /// Whether a service was away when orders were last asked about.
    away: AtomicBool,
}

/// What a tick found to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retried {
    /// No order was due.
    Nothing,
    /// So many orders were tried.
    Orders(usize),
    /// Orders were due, and a service that they need doesn't answer.
    Away,
}

impl RetryPending {
    /// With what it takes.
    pub fn new(context: Context) -> Self {
        Self { context, away: AtomicBool::new(false) }
    }

    /// Tries one batch of due orders; a small one where the last found a service away.
    pub async fn tick(&self) -> Result<Retried, StoreError> {
        let database = &self.context.database;
        let now = database.now().await?;
        let most = if self.away.load(Ordering::Relaxed) { PROBE } else { BATCH };
        let claimed = retrying(|| claim(database, now, self.context.timeouts.request_timeout, most)).await?;
        if claimed.is_empty() {
            return Ok(Retried::Nothing);
        }
        let tried = claimed.len();
        let (expired, due): (Vec<Stored>, Vec<Stored>) =
            claimed.into_iter().partition(|stored| self.is_expired(stored, now));
        let answers = self.ask(&due).await;
        // A fault of one order says nothing of the others.
        let away = !answers.is_empty() && answers.iter().all(|answer| answer.hurdle == Some(Hurdle::Away));
        if !answers.is_empty() {
            self.away.store(away, Ordering::Relaxed);
        }
        if answers.iter().any(Answer::holds_stock) {
            self.context.failpoints.hit(Failpoint::AfterReserveBeforeCommit).await;
        }
        let mut found: Vec<(Stored, Finding)> =
            expired.into_iter().map(|stored| (stored, Finding::Expired)).collect();
        let mut again = Vec::new();
        for (stored, answer) in due.into_iter().zip(answers) {
            match answer.hurdle {
                None => found.push((stored, answer.finding)),
                Some(Hurdle::Away) => again.push(self.again(stored, now, 0)),
                Some(Hurdle::Closed | Hurdle::Conflict) => again.push(self.again(stored, now, 1)),
            }
        }
        let unsettled = self.settle(found).await?;
        again.extend(unsettled.into_iter().map(|stored| self.again(stored, now, 0)));
        again.sort_by_key(|again| again.stored.order.id);
        retrying(|| put_back(database, &again)).await?;
        Ok(if away { Retried::Away } else { Retried::Orders(tried) })
    }

    /// Ticks until `stop`.
    pub async fn run(self, heartbeat: Heartbeat, stop: CancellationToken) {
        let mut away = AWAY_FIRST;
        while !stop.is_cancelled() {
            heartbeat.beat();
            let tried = self.tick().await;
            if let Err(error) = &tried {
                tracing::warn!(%error, "PENDING orders wait for the database");
            }
            let pause = match tried {
                Ok(Retried::Orders(_)) => Duration::ZERO,
                Ok(Retried::Nothing) => POLL,
                Ok(Retried::Away) | Err(_) => away,
            };
            let is_away = !matches!(tried, Ok(Retried::Orders(_) | Retried::Nothing));
            away = if is_away { (away * 2).min(AWAY_LIMIT) } else { AWAY_FIRST };
            stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }

    fn is_expired(&self, stored: &Stored, now: Timestamp) -> bool {
        let since = stored.pending_since.unwrap_or(stored.order.created_at);
        now.since(since) >= self.context.timeouts.pending_max_age
    }

    async fn ask(&self, due: &[Stored]) -> Vec<Answer> {
        let questions: Vec<Question<'_>> =
            due.iter().map(|stored| Question { order: &stored.order, attempt: stored.attempt }).collect();
        let deadline = Deadline::after(self.context.timeouts.request_timeout);
        find_out(&*self.context.rpc, &questions, deadline).await
    }

    fn again(&self, stored: Stored, now: Timestamp, attempts_on: u32) -> Again {
        let pause = jittered(pause_bound(stored.tries), (stored.order.id, stored.tries));
        Again { at: now.plus(pause), attempt: stored.attempt + attempts_on, stored }
    }

    /// Saves what became of them; answers those of which nothing did.
    async fn settle(&self, found: Vec<(Stored, Finding)>) -> Result<Vec<Stored>, StoreError> {
        let now = self.context.clock.now();
        let database = &self.context.database;
        let ids = found.iter().map(|(stored, _)| stored.order.id);
        let mut traceparents = traceparents(database.read(), ids).await?;
        let (mut changes, mut unsettled) = (Vec::new(), Vec::new());
        for (stored, finding) in found {
            let order = decide(stored.order.clone(), &finding);
            if order.status == OrderStatus::Pending {
                unsettled.push(stored);
                continue;
            }
            let changed = Changed::by(&stored.order, order, now);
            let event = NewEvent {
                id: self.context.ids.fresh(),
                changed,
                request_id: None,
                // What placing began ends here.
                traceparent: traceparents.remove(&stored.order.id),
            };
            changes.push((stored, event));
        }
        changes.sort_by_key(|(stored, _)| stored.order.id);
        match self.save_all(&changes).await {
            Ok(overtaken) => unsettled.extend(overtaken),
            Err(error) if error.is_transient() => return Err(error),
            // One of them can't be saved: the others can.
            Err(_) => {
                for change in changes {
                    match self.save_all(std::slice::from_ref(&change)).await {
                        Ok(overtaken) => unsettled.extend(overtaken),
                        Err(error) => {
                            tracing::error!(order_id = %change.0.order.id, %error, "a PENDING order can't be saved");
                            unsettled.push(change.0);
                        }
                    }
                }
            }
        }
        Ok(unsettled)
    }

    /// In one transaction; answers those that have changed since they were claimed. They keep that change: where it
    /// ends the order, its event makes inventory give back what was reserved here.
    async fn save_all(&self, changes: &[(Stored, NewEvent)]) -> Result<Vec<Stored>, StoreError> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let database = &self.context.database;
        let saved = retrying(|| async {
            let changes: Vec<(&Stored, &NewEvent)> =
                changes.iter().map(|(stored, event)| (stored, event)).collect();
            let transaction = database.begin().await?;
            let saved = save_all(&transaction, &changes).await?;
            transaction.commit().await?;
            Ok(saved)
        })
        .await?;
        self.context.committed.notify_one();
        let overtaken = changes.iter().zip(saved).filter(|(_, saved)| !saved);
        Ok(overtaken.map(|((stored, _), _)| stored.clone()).collect())
    }
}

fn pause_bound(tries: u32) -> Duration {
    let doublings = 1_u32.checked_shl(tries.saturating_sub(1)).unwrap_or(u32::MAX);
    RETRY_FIRST.saturating_mul(doublings).min(RETRY_LIMIT)
}

/// Between half of the pause and all of it, so that orders that failed together don't come back together. Drawn
/// from `what`, so that a simulation can repeat it.
fn jittered(pause: Duration, what: impl Hash) -> Duration {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    let thousandths = 500 + u32::try_from(hasher.finish() % 500).expect("less than 500");
    pause * thousandths / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        for (tries, least_ms, most_ms) in
            [(1, 125, 250), (2, 250, 500), (5, 1500, 3000), (u32::MAX, 1500, 3000)]
        {
            let bound = pause_bound(tries);
            assert_eq!(bound, Duration::from_millis(most_ms), "{tries}");
            for order in 0..100 {
                let pause = jittered(bound, (order, tries));
                assert!(pause >= Duration::from_millis(least_ms) && pause <= bound, "{tries}: {pause:?}");
            }
        }
    }
}
