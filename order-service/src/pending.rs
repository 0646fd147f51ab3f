//! Retries PENDING orders from the database until each is PROCESSING, REJECTED or too old.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bus::backoff::Backoff;
use bus::clock::Deadline;
use bus::heartbeat::Heartbeat;
use schema::ids::OrderId;
use schema::order::OrderStatus;
use schema::time::Timestamp;
use sea_orm::sea_query::{Condition, Expr, ExprTrait as _, Query};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};
use store::failpoint::Failpoint;
use store::{Database, StoreError, retrying};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::checks::{Blocker, Check, CheckResult, run_checks};
use crate::context::Context;
use crate::domain::place::decide;
use crate::domain::{Changed, CheckedFacts};
use crate::orders::{NewEvent, OrderRow, find, readable, traceparents, update_all};
use crate::tables::order;

const BATCH: u64 = 200;
/// Orders of a batch that only finds out whether a service answers again: the others stay due, and are tried at once
/// when it does.
const PROBE_BATCH: u64 = 5;
/// How often due orders are looked for if there were none.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// The pauses while a service does not answer. Together with the breaker's probe and an order's own pause, the limit
/// bounds how long recovery goes unnoticed.
const UNAVAILABLE: Backoff = Backoff { first: Duration::from_millis(250), limit: Duration::from_millis(500) };
/// The pauses before one order is tried again.
const RETRY: Backoff = Backoff { first: Duration::from_millis(250), limit: Duration::from_secs(3) };
/// How long a claim lasts if it is not renewed: so long the orders that a copy held when it died wait for another one.
const CLAIM: Duration = Duration::from_millis(1_500);
/// How often a claim is renewed while services are asked about its orders.
const RENEWAL: Duration = Duration::from_millis(500);

/// Retries PENDING orders. Any number of copies may run: a copy claims an order for as long as it tries.
pub struct RetryPending {
    context: Context,
    /// Whether the last checks found a service that does not answer.
    unavailable: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retried {
    Nothing,
    /// The number of orders that were tried.
    Orders(usize),
    /// Orders were due, and a service that their checks need does not answer.
    Unavailable,
}

impl RetryPending {
    pub fn new(context: Context) -> Self {
        Self { context, unavailable: AtomicBool::new(false) }
    }

    /// Tries one batch of due orders; a small one if a service did not answer the last.
    pub async fn tick(&self) -> Result<Retried, StoreError> {
        let database = &self.context.database;
        let now = database.now().await?;
        let batch = if self.unavailable.load(Ordering::Relaxed) { PROBE_BATCH } else { BATCH };
        let timeout = self.context.timeouts.request_timeout;
        let claimed = retrying(|| claim(database, now, now.plus(CLAIM), batch)).await?;
        if claimed.is_empty() {
            return Ok(Retried::Nothing);
        }
        let tried = claimed.len();
        let (expired, due): (Vec<OrderRow>, Vec<OrderRow>) = claimed.into_iter().partition(|row| {
            let since = row.pending_since.unwrap_or(row.order.created_at);
            now.since(since) >= self.context.timeouts.pending_max_age
        });
        let checks: Vec<Check<'_>> =
            due.iter().map(|row| Check { order: &row.order, attempt: row.attempt }).collect();
        let checking =
            run_checks(&*self.context.rpc, &self.context.known_customers, &checks, Deadline::after(timeout));
        let results = keep_claimed(database, &due, checking).await;
        // A fault of one order says nothing about the others.
        let is_unavailable = |result: &CheckResult| result.blocker == Some(Blocker::Unavailable);
        let unavailable = !results.is_empty() && results.iter().all(is_unavailable);
        if !results.is_empty() {
            self.unavailable.store(unavailable, Ordering::Relaxed);
        }
        if results.iter().any(CheckResult::holds_stock) {
            self.context.failpoints.hit(Failpoint::AfterReserveBeforeCommit).await;
        }
        let mut checked: Vec<(OrderRow, CheckedFacts)> =
            expired.into_iter().map(|row| (row, CheckedFacts::Expired)).collect();
        let mut again = Vec::new();
        for (row, result) in due.into_iter().zip(results) {
            match result.blocker {
                None => checked.push((row, result.facts)),
                Some(Blocker::Unavailable) => again.push(Reschedule::new(row, now, 0)),
                Some(Blocker::Closed | Blocker::Conflict) => again.push(Reschedule::new(row, now, 1)),
            }
        }
        let undecided = self.decide_all(checked).await?;
        again.extend(undecided.into_iter().map(|row| Reschedule::new(row, now, 0)));
        again.sort_by_key(|again| again.row.order.id);
        retrying(|| release_claims(database, &again)).await?;
        Ok(if unavailable { Retried::Unavailable } else { Retried::Orders(tried) })
    }

    pub async fn run(self, heartbeat: Heartbeat, stop: CancellationToken) {
        let mut failures = 0;
        while !stop.is_cancelled() {
            heartbeat.beat();
            let tried = self.tick().await;
            if let Err(error) = &tried {
                tracing::warn!(%error, "cannot retry PENDING orders");
            }
            let failed = !matches!(tried, Ok(Retried::Orders(_) | Retried::Nothing));
            failures = if failed { failures + 1 } else { 0 };
            let pause = match tried {
                Ok(Retried::Orders(_)) => Duration::ZERO,
                Ok(Retried::Nothing) => POLL_INTERVAL,
                Ok(Retried::Unavailable) | Err(_) => UNAVAILABLE.pause(failures),
            };
            stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }

    /// Decides these orders by the facts, and returns those that stay undecided or could not be saved.
    async fn decide_all(&self, checked: Vec<(OrderRow, CheckedFacts)>) -> Result<Vec<OrderRow>, StoreError> {
        let now = self.context.clock.now();
        let ids = checked.iter().map(|(row, _)| row.order.id);
        let mut traceparents = traceparents(self.context.database.read(), ids).await?;
        let (mut changes, mut undecided) = (Vec::new(), Vec::new());
        for (row, facts) in checked {
            let order = decide(row.order.clone(), &facts);
            if order.status == OrderStatus::Pending {
                undecided.push(row);
                continue;
            }
            let event = NewEvent {
                id: self.context.ids.fresh(),
                changed: Changed::by(&row.order, order, now),
                request_id: None,
                // The event ends the trace that placing the order began.
                traceparent: traceparents.remove(&row.order.id),
            };
            changes.push((row, event));
        }
        changes.sort_by_key(|(row, _)| row.order.id);
        match self.save(&changes).await {
            Ok(overtaken) => undecided.extend(overtaken),
            Err(error) if error.is_transient() => return Err(error),
            // One of them cannot be saved: the others can.
            Err(_) => {
                for change in changes {
                    match self.save(std::slice::from_ref(&change)).await {
                        Ok(overtaken) => undecided.extend(overtaken),
                        Err(error) => {
                            tracing::error!(order_id = %change.0.order.id, %error, "cannot save a PENDING order");
                            undecided.push(change.0);
                        }
                    }
                }
            }
        }
        Ok(undecided)
    }

    /// Saves the changes in one transaction, and returns the orders that have changed since they were claimed. Those keep
    /// the other change: if it ends the order, its event makes inventory-service release what was reserved here.
    async fn save(&self, changes: &[(OrderRow, NewEvent)]) -> Result<Vec<OrderRow>, StoreError> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let saved = retrying(|| async {
            let changes: Vec<_> = changes.iter().map(|(row, event)| (row, event)).collect();
            let transaction = self.context.database.begin().await?;
            let saved = update_all(&transaction, &changes).await?;
            transaction.commit().await?;
            Ok(saved)
        })
        .await?;
        self.context.committed.notify_one();
        let overtaken = changes.iter().zip(saved).filter(|(_, saved)| !saved);
        Ok(overtaken.map(|((row, _), _)| row.clone()).collect())
    }
}

/// The condition that an order is PENDING, word for word as the partial index has it.
pub(crate) fn pending() -> Condition {
    let status = Expr::col((order::Entity, order::Column::Status));
    readable().add(status.eq(Expr::Constant(OrderStatus::Pending.as_str().into())))
}

/// Claims at most `limit` due orders: no other copy gets them before `until`, and another one does afterwards if this
/// copy dies.
async fn claim(
    database: &Database,
    now: Timestamp,
    until: Timestamp,
    limit: u64,
) -> Result<Vec<OrderRow>, StoreError> {
    let due = order::Column::NextTryAt.lte(now.to_utc());
    // Most ticks find nothing, and should not write to find that.
    let ids: Vec<Uuid> = order::Entity::find()
        .select_only()
        .column(order::Column::Id)
        .filter(pending())
        .filter(due.clone())
        .order_by_asc(order::Column::NextTryAt)
        .limit(limit)
        .into_tuple()
        .all(database.read())
        .await?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut statement = Query::update()
        .table(order::Entity)
        .value(order::Column::NextTryAt, until.to_utc())
        .value(order::Column::Tries, Expr::col(order::Column::Tries).add(1))
        .and_where(order::Column::Id.is_in(ids))
        .and_where(due)
        .cond_where(pending())
        .take();
    statement.returning(Query::returning().column(order::Column::Id));
    let rows = database.write().query_all(&statement).await?;
    let ids: BTreeSet<OrderId> =
        rows.iter().map(|row| Ok(OrderId(row.try_get("", "id")?))).collect::<Result<_, DbErr>>()?;
    let mut rows = find(database.read(), ids.iter().copied()).await?;
    let claimed = ids.into_iter().filter_map(|id| rows.remove(&id));
    Ok(claimed.filter(|row| row.order.status == OrderStatus::Pending).collect())
}

/// Renews the claims of these orders until `checking` ends. A renewal that fails is no reason to give up: another copy may
/// then try the orders as well, under the same attempts, and the first change of each is kept.
async fn keep_claimed<T>(database: &Database, orders: &[OrderRow], checking: impl Future<Output = T>) -> T {
    let mut checking = std::pin::pin!(checking);
    loop {
        let renewal = async {
            tokio::time::sleep(RENEWAL).await;
            renew(database, orders).await
        };
        tokio::select! {
            biased;
            checked = &mut checking => return checked,
            renewed = renewal => {
                if let Err(error) = renewed {
                    tracing::debug!(%error, "cannot renew the claims of PENDING orders");
                }
            }
        }
    }
}

async fn renew(database: &Database, orders: &[OrderRow]) -> Result<(), StoreError> {
    let until = database.now().await?.plus(CLAIM);
    let statement = Query::update()
        .table(order::Entity)
        .value(order::Column::NextTryAt, until.to_utc())
        .and_where(order::Column::Id.is_in(orders.iter().map(|row| row.order.id.0)))
        .cond_where(pending())
        .take();
    database.write().execute(&statement).await?;
    Ok(())
}

/// An order to be tried again.
struct Reschedule {
    row: OrderRow,
    /// When the next try is due.
    at: Timestamp,
    /// The attempt of the next try: a later one supersedes a hold that was in the way. The attempt is committed before
    /// stock is reserved under it.
    attempt: u32,
}

impl Reschedule {
    fn new(row: OrderRow, now: Timestamp, further_attempts: u32) -> Self {
        let pause = RETRY.seeded_pause(row.tries, row.order.id);
        Self { at: now.plus(pause), attempt: row.attempt + further_attempts, row }
    }
}

/// Releases the claims of these orders, in one transaction. An order that has changed since its claim stays as it is.
async fn release_claims(database: &Database, again: &[Reschedule]) -> Result<(), StoreError> {
    if again.is_empty() {
        return Ok(());
    }
    let transaction = database.begin().await?;
    for Reschedule { row, at, attempt } in again {
        let statement = Query::update()
            .table(order::Entity)
            .value(order::Column::NextTryAt, at.to_utc())
            .value(order::Column::Attempt, i64::from(*attempt))
            .and_where(order::Column::Id.eq(row.order.id.0))
            .and_where(order::Column::Attempt.eq(i64::from(row.attempt)))
            .cond_where(pending())
            .take();
        transaction.execute(&statement).await?;
    }
    Ok(transaction.commit().await?)
}
