//! The transactional outbox: events are stored with their change and get a position afterwards, in one sequence without
//! holes.
//!
//! A database sequence cannot be that position: its values become visible out of order, and a rollback leaves holes.
//! Positions come from a counter row, which the transaction that assigns them locks.

use std::ops::RangeInclusive;

use sea_orm::sea_query::{Expr, ExprTrait as _, Query};
use sea_orm::{ConnectionTrait, DbBackend, Statement};

use crate::database::{Database, for_update};
use crate::error::{StoreError, retrying};

/// Events that get their positions in one transaction.
const BATCH: u64 = 500;
/// Transactions of one call: bounds it, far above what can be waiting.
const TRANSACTIONS_MAX: u32 = 10_000;

/// The tables of an outbox. `events` has `seq` (a database sequence), `position` (null until assigned) and `published_at`
/// (null until published). `counter` has one row with `last_position`.
#[derive(Debug, Clone, Copy)]
pub struct Outbox {
    pub events: &'static str,
    pub counter: &'static str,
}

impl Outbox {
    /// Assigns positions to all events committed before the call, in the order of `seq`, and returns the last position.
    /// Events of one order are inserted under its row's lock, so that their `seq` follows their versions.
    pub async fn assign_positions(&self, database: &Database) -> Result<i64, StoreError> {
        for _ in 0..TRANSACTIONS_MAX {
            let (head, behind) = self.head(database).await?;
            if !behind {
                return Ok(head);
            }
            let (assigned, head) = retrying(|| self.assign_batch(database)).await?;
            if assigned < BATCH {
                return Ok(head);
            }
        }
        Ok(self.head(database).await?.0)
    }

    /// Takes the next positions for as many events that the transaction inserts, each the first of its subject. Nothing if
    /// an event waits for its position: these would overtake it. The counter stays locked until the transaction ends: let it
    /// be the last row that is.
    pub async fn take_positions(
        &self,
        transaction: &impl ConnectionTrait,
        count: usize,
    ) -> Result<Option<RangeInclusive<i64>>, StoreError> {
        let count = i64::try_from(count).expect("a batch is bounded");
        let waiting = Query::select()
            .expr(Expr::val(1))
            .from(self.events)
            .and_where(Expr::col("position").is_null())
            .take();
        let update = Query::update()
            .table(self.counter)
            .value("last_position", Expr::col("last_position").add(count))
            .and_where(Expr::exists(waiting).not())
            .returning(Query::returning().column("last_position"))
            .take();
        let Some(row) = transaction.query_one(&update).await? else { return Ok(None) };
        let last: i64 = row.try_get("", "last_position")?;
        Ok(Some(last - count + 1..=last))
    }

    /// Marks the events through `position` as published. On PostgreSQL a mark may be lost if the server crashes within a
    /// second: the events are then published again, as after a crash before their mark.
    pub async fn mark_published(&self, database: &Database, position: i64) -> Result<(), StoreError> {
        if database.backend() == DbBackend::Postgres {
            return self.mark_published_postgres(database, position).await;
        }
        let now = database.now().await?;
        let statement = Query::update()
            .table(self.events)
            .value("published_at", now.to_utc())
            .and_where(Expr::col("published_at").is_null())
            .and_where(Expr::col("position").lte(position))
            .take();
        retrying(|| async { Ok(database.write().execute(&statement).await.map(|_| ())?) }).await
    }

    /// Marks them in one statement, whose transaction does not wait until it is on disk.
    async fn mark_published_postgres(&self, database: &Database, position: i64) -> Result<(), StoreError> {
        let sql = format!(
            "WITH commit AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true) AS mode) \
             UPDATE {} SET published_at = clock_timestamp() FROM commit \
             WHERE commit.mode = 'off' AND published_at IS NULL AND position <= $1",
            self.events
        );
        let statement = Statement::from_sql_and_values(DbBackend::Postgres, sql, [position.into()]);
        let mark = || async { Ok(database.write().execute_raw(statement.clone()).await.map(|_| ())?) };
        retrying(mark).await
    }

    /// Whether committed events have no position yet.
    pub async fn is_behind(&self, database: &Database) -> Result<bool, StoreError> {
        Ok(self.head(database).await?.1)
    }

    /// Returns the last position, and whether events without a position wait.
    async fn head(&self, database: &Database) -> Result<(i64, bool), StoreError> {
        let Self { events, counter } = self;
        let sql = format!(
            "SELECT last_position, EXISTS (SELECT 1 FROM {events} WHERE position IS NULL) AS behind FROM {counter}"
        );
        let row = database.read().query_one_raw(Statement::from_string(database.backend(), sql)).await?;
        let row = row.ok_or_else(no_counter)?;
        Ok((row.try_get("", "last_position")?, row.try_get("", "behind")?))
    }

    /// Assigns one batch of positions; returns how many, and the last one.
    async fn assign_batch(&self, database: &Database) -> Result<(u64, i64), StoreError> {
        let transaction = database.begin().await?;
        let mut counter = Query::select().column("last_position").from(self.counter).take();
        for_update(database.backend(), &mut counter);
        let row = transaction.query_one(&counter).await?.ok_or_else(no_counter)?;
        let last: i64 = row.try_get("", "last_position")?;
        let events = self.events;
        let sql = format!(
            "UPDATE {events} SET position = numbered.position FROM (\
             SELECT seq, {last} + ROW_NUMBER() OVER (ORDER BY seq) AS position FROM {events} \
             WHERE position IS NULL ORDER BY seq LIMIT {BATCH}\
             ) AS numbered WHERE {events}.seq = numbered.seq"
        );
        let updated = transaction.execute_raw(Statement::from_string(database.backend(), sql)).await?;
        let assigned = updated.rows_affected();
        let head = last + i64::try_from(assigned).expect("a batch is bounded");
        let count = Query::update().table(self.counter).value("last_position", head).take();
        transaction.execute(&count).await?;
        transaction.commit().await?;
        Ok((assigned, head))
    }
}

fn no_counter() -> StoreError {
    StoreError::Data("the outbox's counter has no row".to_owned())
}
