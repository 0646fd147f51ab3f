//! Connections and transactions as services use them: they report how every statement ends to the database's health.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseExecutor, DatabaseTransaction, DbBackend, DbErr, ExecResult,
    IntoDatabaseExecutor, QueryResult, RuntimeErr, Statement, TransactionOptions,
};
use tokio::time::timeout;

use crate::health::Health;
use crate::pool::Pool;

/// How long PostgreSQL may take to answer: longer than the bound on a statement that it keeps itself, unless it is stopped
/// or the network is silent. Without a bound here such a statement would never end.
const ANSWER_LIMIT: Duration = Duration::from_secs(12);

/// A pool of connections, of which each statement takes one.
#[derive(Clone)]
pub struct Connection {
    pool: Pool,
    health: Arc<Health>,
    /// Whether its statements write.
    writes: bool,
}

/// A transaction. Dropped without a commit, it is rolled back.
pub struct Transaction {
    transaction: DatabaseTransaction,
    health: Arc<Health>,
    wrote: AtomicBool,
    /// Whether a statement has failed.
    failed: AtomicBool,
}

impl Connection {
    pub(crate) fn new(pool: Pool, health: &Arc<Health>, writes: bool) -> Self {
        Self { pool, health: Arc::clone(health), writes }
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) fn pool_mut(&mut self) -> &mut Pool {
        &mut self.pool
    }

    pub(crate) async fn begin(&self, options: TransactionOptions) -> Result<Transaction, DbErr> {
        let begun = answered(self.pool.get_database_backend(), self.pool.begin(options)).await;
        let transaction = begun.map_err(|error| self.health.failed(error, true))?;
        let health = Arc::clone(&self.health);
        Ok(Transaction { transaction, health, wrote: AtomicBool::new(false), failed: AtomicBool::new(false) })
    }

    fn noted<T>(&self, result: Result<T, DbErr>, wrote: impl FnOnce(&T) -> bool) -> Result<T, DbErr> {
        match &result {
            Ok(value) if self.writes && wrote(value) => self.health.wrote(),
            Ok(_) => {}
            Err(_) => return result.map_err(|error| self.health.failed(error, self.writes)),
        }
        result
    }
}

impl Transaction {
    /// Commits. `Ok` means that everything is stored: PostgreSQL answers a commit after a failed statement with a rollback
    /// and no error, which is an error here.
    pub async fn commit(self) -> Result<(), DbErr> {
        let Self { transaction, health, wrote, failed } = self;
        if failed.into_inner() && transaction.get_database_backend() == DbBackend::Postgres {
            return Err(DbErr::Custom(
                "a statement of the transaction has failed: nothing is committed".to_owned(),
            ));
        }
        let backend = transaction.get_database_backend();
        answered(backend, transaction.commit()).await.map_err(|error| health.failed(error, true))?;
        if wrote.into_inner() {
            health.wrote();
        }
        Ok(())
    }

    fn noted<T>(&self, result: Result<T, DbErr>, wrote: impl FnOnce(&T) -> bool) -> Result<T, DbErr> {
        match result {
            Ok(value) => {
                if wrote(&value) {
                    self.wrote.store(true, Ordering::Relaxed);
                }
                Ok(value)
            }
            Err(error) => {
                self.failed.store(true, Ordering::Relaxed);
                Err(self.health.failed(error, true))
            }
        }
    }
}

/// Gives an operation up that PostgreSQL does not answer. Whether it happened is unknown, as if the connection were lost.
async fn answered<T>(
    backend: DbBackend,
    operation: impl Future<Output = Result<T, DbErr>>,
) -> Result<T, DbErr> {
    if backend != DbBackend::Postgres {
        return operation.await;
    }
    match timeout(ANSWER_LIMIT, operation).await {
        Ok(result) => result,
        Err(_) => {
            let reason = format!("PostgreSQL did not answer within {ANSWER_LIMIT:?}");
            Err(DbErr::Conn(RuntimeErr::Internal(reason)))
        }
    }
}

/// Whether rows were changed: a statement that finds nothing to change succeeds on a full disk too.
fn changed(result: &ExecResult) -> bool {
    result.rows_affected() > 0
}

/// Whether the rows of a query are those that it has written. A query that begins with WITH is taken to end with the
/// statement that writes them, if one of its parts writes.
fn is_write(statement: &Statement) -> bool {
    const WRITES: [&str; 3] = ["INSERT", "UPDATE", "DELETE"];
    let mut words = statement.sql.split_ascii_whitespace();
    let is = |word: &str, other: &str| word.eq_ignore_ascii_case(other);
    let writes = |word: &str| WRITES.iter().any(|write| is(word, write));
    match words.next() {
        Some(first) if is(first, "WITH") => words.any(|word| WRITES.contains(&word.trim_start_matches('('))),
        Some(first) => writes(first),
        None => false,
    }
}

macro_rules! connection_trait {
    ($session:ty, $inner:ident) => {
        #[async_trait]
        impl ConnectionTrait for $session {
            fn get_database_backend(&self) -> DbBackend {
                self.$inner.get_database_backend()
            }

            async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
                let answer = answered(self.get_database_backend(), self.$inner.execute_raw(statement)).await;
                self.noted(answer, changed)
            }

            async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
                self.noted(self.$inner.execute_unprepared(sql).await, changed)
            }

            async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
                let writes = is_write(&statement);
                let answer =
                    answered(self.get_database_backend(), self.$inner.query_one_raw(statement)).await;
                self.noted(answer, |row| writes && row.is_some())
            }

            async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
                let writes = is_write(&statement);
                let answer =
                    answered(self.get_database_backend(), self.$inner.query_all_raw(statement)).await;
                self.noted(answer, |rows| writes && !rows.is_empty())
            }
        }

        /// For migrations, whose failures end the start.
        impl<'c> IntoDatabaseExecutor<'c> for &'c $session {
            fn into_database_executor(self) -> DatabaseExecutor<'c> {
                (&self.$inner).into_database_executor()
            }
        }
    };
}

connection_trait!(Connection, pool);
connection_trait!(Transaction, transaction);
