//! Connecting to a database, and the few things that differ between PostgreSQL and SQLite.

use std::sync::Arc;
use std::time::Duration;

use bus::clock::Clock;
use schema::time::Timestamp;
use sea_orm::sea_query::SelectStatement;
use sea_orm::sqlx;
use sea_orm::sqlx::Connection as _;
use sea_orm::sqlx::pool::PoolOptions;
use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    ConnectOptions, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait as _,
};

use crate::error::StoreError;
use crate::refusal;

/// Connections to PostgreSQL of one service in one process.
const POSTGRES_CONNECTIONS: u32 = 16;
/// Connections that read from SQLite; beside them there is one that writes.
const SQLITE_READERS: u32 = 4;
/// How long anybody waits for a connection, one that is free or one that can be made.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a statement may run in PostgreSQL, and a write of another process be waited for in SQLite.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a statement waits for a row lock, and how long a transaction may lie idle with its locks: a copy
/// that stalls in the middle of one holds up the others no longer than this.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer to a ping is awaited before it is asked why there is none.
const PING_LIMIT: Duration = Duration::from_millis(500);
/// The pause before a database that doesn't answer at start is tried again; doubles up to the limit.
const RECONNECT_FIRST: Duration = Duration::from_millis(100);
const RECONNECT_LIMIT: Duration = Duration::from_secs(2);

/// A service's database. Cloning shares it.
#[derive(Clone)]
pub struct Database {
    /// The one connection that writes, on SQLite; the pool, on PostgreSQL.
    writer: DatabaseConnection,
    reader: DatabaseConnection,
    clock: Arc<dyn Clock>,
}

impl Database {
    /// Connects to `postgres://user@host/database` or `sqlite://path`, once: a database that doesn't answer
    /// within seconds is an error.
    ///
    /// `clock` tells the time on SQLite, where database and service are on one machine. A SQLite file is made
    /// where there is none; its folder is not.
    pub async fn connect(url: &str, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        if url.starts_with("sqlite:") {
            let writer = sea_orm::Database::connect(sqlite_options(url, 1, false)).await?;
            let reader = sea_orm::Database::connect(sqlite_options(url, SQLITE_READERS, true)).await?;
            Ok(Self { writer, reader, clock })
        } else {
            let options = postgres_options(url);
            let given: PgConnectOptions = options
                .get_url()
                .parse()
                .map_err(|error: sqlx::Error| StoreError::Unavailable(error.to_string()))?;
            match sea_orm::Database::connect(options).await {
                Ok(pool) => Ok(Self { writer: pool.clone(), reader: pool, clock }),
                Err(error) => Err(refusal::explained(error, &given).await),
            }
        }
    }

    /// Connects as soon as the database answers, trying for as long as `patience` lasts.
    ///
    /// The error is that of the last attempt.
    pub async fn connect_within(
        url: &str,
        clock: Arc<dyn Clock>,
        patience: Duration,
    ) -> Result<Self, StoreError> {
        let deadline = tokio::time::Instant::now() + patience;
        let mut pause = RECONNECT_FIRST;
        loop {
            let error = match Self::connect(url, Arc::clone(&clock)).await {
                Ok(database) => return Ok(database),
                Err(error) => error,
            };
            if tokio::time::Instant::now() + pause >= deadline {
                return Err(error);
            }
            tracing::warn!(%error, "the database does not answer yet");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RECONNECT_LIMIT);
        }
    }

    /// Tells `observer` of every statement that is run from now on, over this handle and its clones.
    #[must_use]
    pub fn observed_by(mut self, observer: impl Fn(&Statement) + Clone + Send + Sync + 'static) -> Self {
        let writing = observer.clone();
        self.writer.set_metric_callback(move |info| writing(info.statement));
        self.reader.set_metric_callback(move |info| observer(info.statement));
        self
    }

    /// For reading outside of transactions. On SQLite it refuses to write.
    pub fn read(&self) -> &DatabaseConnection {
        &self.reader
    }

    /// For a single statement that writes.
    pub fn write(&self) -> &DatabaseConnection {
        &self.writer
    }

    /// Begins a transaction that may write. Dropped without a commit, it is rolled back.
    ///
    /// On SQLite it holds the write lock from here on, so that what it reads stays as it is.
    pub async fn begin(&self) -> Result<DatabaseTransaction, StoreError> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        Ok(self.writer.begin_with_options(options).await?)
    }

    /// Which of the two it is.
    pub fn backend(&self) -> DbBackend {
        self.writer.get_database_backend()
    }

    /// The time by the database's clock, which all copies of a service share: for ages and leases.
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        if self.backend() == DbBackend::Sqlite {
            return Ok(self.clock.now());
        }
        let statement = Statement::from_string(self.backend(), "SELECT clock_timestamp() AS now");
        let row = self.reader.query_one_raw(statement).await?;
        let row = row.ok_or_else(|| StoreError::Data("the database told no time".to_owned()))?;
        Ok(row.try_get::<chrono::DateTime<chrono::Utc>>("", "now")?.into())
    }

    /// Whether it answers; if not, what PostgreSQL says to one more connection. That all of ours are busy is no silence
    /// of its.
    pub async fn ping(&self) -> Result<(), StoreError> {
        if self.backend() == DbBackend::Sqlite {
            return Ok(self.reader.ping().await?);
        }
        if let Ok(Ok(())) = tokio::time::timeout(PING_LIMIT, self.reader.ping()).await {
            return Ok(());
        }
        let options = self.reader.get_postgres_connection_pool().connect_options();
        refusal::told(&options).await.map_or(Ok(()), Err)
    }

    /// Closes the connections, and with them SQLite's write-ahead log.
    pub async fn close(self) {
        for connection in [self.writer, self.reader] {
            if let Err(error) = connection.close().await {
                tracing::debug!(%error, "a database connection did not close");
            }
        }
    }
}

/// Locks the rows that `select` finds until the transaction ends; on SQLite, where a transaction already has
/// the write lock, it leaves the statement as it is.
pub fn for_update(backend: DbBackend, select: &mut SelectStatement) {
    if backend == DbBackend::Postgres {
        select.lock_exclusive();
    }
}

/// Makes whoever takes the same name in this database wait until the transaction ends: for what no row stands for yet.
/// On SQLite, where a transaction already has the write lock, there is nothing to do.
///
/// Two names may stand for one another's: whoever needs more than one of them, or rows too, takes the name first and
/// one only.
pub async fn advisory_lock(transaction: &impl ConnectionTrait, name: u128) -> Result<(), StoreError> {
    let backend = transaction.get_database_backend();
    if backend == DbBackend::Postgres {
        let [high, low] = [name >> 64, name & u128::from(u64::MAX)].map(|half| half as u64);
        let key = (high ^ low).cast_signed();
        let lock = Statement::from_sql_and_values(backend, "SELECT pg_advisory_xact_lock($1)", [key.into()]);
        transaction.execute_raw(lock).await?;
    }
    Ok(())
}

fn postgres_options(given: &str) -> ConnectOptions {
    // Both are PostgreSQL's own names of the scheme; sea-orm knows the short one.
    let url = given.strip_prefix("postgresql://").map(|rest| format!("postgres://{rest}"));
    let mut options = ConnectOptions::new(url.unwrap_or_else(|| given.to_owned()));
    let lock_timeout = LOCK_TIMEOUT.as_millis().to_string();
    options
        .max_connections(POSTGRES_CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .statement_timeout(STATEMENT_TIMEOUT)
        .sqlx_logging(false)
        .map_sqlx_postgres_opts(move |options| {
            options.options([
                ("lock_timeout", &lock_timeout),
                ("idle_in_transaction_session_timeout", &lock_timeout),
            ])
        });
    options
}

fn sqlite_options(url: &str, connections: u32, read_only: bool) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(STATEMENT_TIMEOUT)
        // The last connection to a file tidies up behind it: keep them.
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(move |options: SqliteConnectOptions| {
            let options = options
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(STATEMENT_TIMEOUT)
                .foreign_keys(true);
            if read_only { options.pragma("query_only", "ON") } else { options }
        })
        .map_sqlx_sqlite_pool_opts(outside_of_transactions);
    options
}

/// Drops a pooled connection that the driver believes to be inside a transaction, before it is used again.
///
/// SQLite rolls a transaction back by itself when a commit fails for want of space (FULL, IOERR, NOMEM). The driver's own
/// ROLLBACK then fails, and the driver goes on counting one open transaction: each later one on this connection is a
/// savepoint. Once one of those is rolled back, SQLite's own transaction stays open, nothing after it is committed, and
/// everything written is answered as stored, and lost.
fn outside_of_transactions<DB: sqlx::Database>(pool: PoolOptions<DB>) -> PoolOptions<DB> {
    pool.before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
}
