//! Events stored with the change they tell of, then numbered in one sequence without holes.
//!
//! A database sequence can't be that number: its values become visible out of order, and a rollback leaves
//! holes. So committed events are numbered afterwards, from a counter row that whoever numbers has locked.

use sea_orm::sea_query::{Expr, ExprTrait as _, Query};
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, Statement};

use crate::database::{Database, for_update};
use crate::error::{StoreError, retrying};

/// Events numbered in one transaction.
const NUMBERED_AT_ONCE: u64 = 500;
/// Transactions that one call numbers in: far more than can be waiting, short of never ending.
const MOST_TRANSACTIONS: u32 = 10_000;

/// The tables of an outbox.
///
/// `events` has `seq` (its database sequence), `position` (null until numbered) and `published_at` (null until
/// published). `counter` has one row with `last_position`.
#[derive(Debug, Clone, Copy)]
pub struct Outbox {
    /// The events.
    pub events: &'static str,
    /// The counter.
    pub counter: &'static str,
}

impl Outbox {
    /// Numbers everything that was committed before the call, in the order of its database sequence, and answers
    /// the last position that there is.
    ///
    /// An order's own events follow one another under its row's lock, so their sequence is their versions' order.
    pub async fn assign_positions(&self, database: &Database) -> Result<i64, StoreError> {
        for _ in 0..MOST_TRANSACTIONS {
            let (head, behind) = self.head(database).await?;
            if !behind {
                return Ok(head);
            }
            let numbered = retrying(|| self.number_some(database)).await?;
            if numbered.events < NUMBERED_AT_ONCE {
                return Ok(numbered.head);
            }
        }
        Ok(self.head(database).await?.0)
    }

    /// Marks what is published, from the lowest unmarked position through `position`.
    pub async fn mark_published(&self, database: &Database, position: i64) -> Result<(), StoreError> {
        let now = database.now().await?;
        let statement = Query::update()
            .table(self.events)
            .value("published_at", now.to_utc())
            .and_where(Expr::col("published_at").is_null())
            .and_where(Expr::col("position").lte(position))
            .take();
        retrying(|| async { Ok(database.write().execute(&statement).await.map(|_| ())?) }).await
    }

    /// The last position, and whether events wait to be numbered.
    async fn head(&self, database: &Database) -> Result<(i64, bool), StoreError> {
        let Self { events, counter } = self;
        let sql = format!(
            "SELECT last_position, EXISTS (SELECT 1 FROM {events} WHERE position IS NULL) AS behind FROM {counter}"
        );
        let row = database.read().query_one_raw(Statement::from_string(database.backend(), sql)).await?;
        let row = row.ok_or_else(no_counter)?;
        Ok((row.try_get("", "last_position")?, row.try_get("", "behind")?))
    }

    async fn number_some(&self, database: &Database) -> Result<Numbered, StoreError> {
        let transaction = database.begin().await?;
        let last = self.lock_counter(&transaction, database).await?;
        let events = self.events;
        let sql = format!(
            "UPDATE {events} SET position = numbered.position FROM (\
             SELECT seq, {last} + ROW_NUMBER() OVER (ORDER BY seq) AS position FROM {events} \
             WHERE position IS NULL ORDER BY seq LIMIT {NUMBERED_AT_ONCE}\
             ) AS numbered WHERE {events}.seq = numbered.seq"
        );
        let numbered = transaction.execute_raw(Statement::from_string(database.backend(), sql)).await?;
        let events = numbered.rows_affected();
        let head = last + i64::try_from(events).expect("a batch is bounded");
        let count = Query::update().table(self.counter).value("last_position", head).take();
        transaction.execute(&count).await?;
        transaction.commit().await?;
        Ok(Numbered { events, head })
    }

    async fn lock_counter(
        &self,
        transaction: &DatabaseTransaction,
        database: &Database,
    ) -> Result<i64, StoreError> {
        let mut select = Query::select().column("last_position").from(self.counter).take();
        for_update(database.backend(), &mut select);
        let row = transaction.query_one(&select).await?.ok_or_else(no_counter)?;
        Ok(row.try_get("", "last_position")?)
    }
}

struct Numbered {
    events: u64,
    head: i64,
}

fn no_counter() -> StoreError {
    StoreError::Data("the outbox's counter row is missing".to_owned())
}
