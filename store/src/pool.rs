//! The pool of connections that statements and transactions take theirs from.

use async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseExecutor, DatabaseTransaction, DbBackend, DbErr, ExecResult,
    IntoDatabaseExecutor, QueryResult, Statement, TransactionOptions, TransactionTrait as _,
};

/// Bounds of what is done on a connection: a statement, a wait for a lock, and a transaction that lies idle with its locks.
/// A copy of a service that stalls inside a transaction blocks the others no longer than this.
///
/// They are statements, since poolers refuse or drop the startup parameter `options`.
pub(crate) const SESSION_SETTINGS: &str = "SET statement_timeout = '10s'; SET lock_timeout = '5s'; \
                                           SET idle_in_transaction_session_timeout = '5s'";

/// A pool that runs single statements, each in a transaction of its own.
///
/// Through a pooler that gives out sessions for the length of a transaction, the driver can't rely on the database's own
/// transaction around each statement: it prepares a statement and executes it in two steps, which may meet two sessions.
/// There the statement runs in a transaction that is begun and committed explicitly.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    pub(crate) inner: DatabaseConnection,
    /// Whether sessions change between transactions.
    pub(crate) is_transaction_pooled: bool,
}

impl Pool {
    pub(crate) async fn begin(&self, options: TransactionOptions) -> Result<DatabaseTransaction, DbErr> {
        let transaction = self.inner.begin_with_options(options).await?;
        if self.is_transaction_pooled {
            // The driver names its statements by a count of its own for each of its connections: those that another
            // connection left in this session would have the same names.
            let prepare = format!("DEALLOCATE ALL; {}", SESSION_SETTINGS.replace("SET ", "SET LOCAL "));
            transaction.execute_unprepared(&prepare).await?;
        }
        Ok(transaction)
    }
}

#[async_trait]
impl ConnectionTrait for Pool {
    fn get_database_backend(&self) -> DbBackend {
        self.inner.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        if !self.is_transaction_pooled {
            return self.inner.execute_raw(statement).await;
        }
        let transaction = self.begin(TransactionOptions::default()).await?;
        let result = transaction.execute_raw(statement).await?;
        transaction.commit().await?;
        Ok(result)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        if !self.is_transaction_pooled {
            return self.inner.execute_unprepared(sql).await;
        }
        let transaction = self.begin(TransactionOptions::default()).await?;
        let result = transaction.execute_unprepared(sql).await?;
        transaction.commit().await?;
        Ok(result)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        if !self.is_transaction_pooled {
            return self.inner.query_one_raw(statement).await;
        }
        let transaction = self.begin(TransactionOptions::default()).await?;
        let row = transaction.query_one_raw(statement).await?;
        transaction.commit().await?;
        Ok(row)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        if !self.is_transaction_pooled {
            return self.inner.query_all_raw(statement).await;
        }
        let transaction = self.begin(TransactionOptions::default()).await?;
        let rows = transaction.query_all_raw(statement).await?;
        transaction.commit().await?;
        Ok(rows)
    }
}

/// Leads around the transactions of single statements, which nothing needs that asks for an executor.
impl<'c> IntoDatabaseExecutor<'c> for &'c Pool {
    fn into_database_executor(self) -> DatabaseExecutor<'c> {
        (&self.inner).into_database_executor()
    }
}
