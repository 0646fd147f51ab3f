//! Connections to PostgreSQL and SQLite, their transactions, locks and clock.

use std::sync::Arc;
use std::time::Duration;

use bus::backoff::Backoff;
use bus::clock::Clock;
use schema::time::Timestamp;
use sea_orm::sea_query::SelectStatement;
use sea_orm::sqlx::pool::PoolOptions;
use sea_orm::sqlx::postgres::PgConnectOptions;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sea_orm::sqlx::{self, ConnectOptions as _, Connection as _};
use sea_orm::{
    ConnAcquireErr, ConnectOptions, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend,
    DbErr, RuntimeErr, SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait as _,
};

use crate::error::StoreError;

/// Connections to PostgreSQL of one service in one process.
const POSTGRES_CONNECTIONS: u32 = 16;
/// Read-only connections to SQLite, beside the one that writes.
const SQLITE_READERS: u32 = 4;
/// How long a task waits for a pooled connection, free or newly made.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a statement may run in PostgreSQL, and how long SQLite waits for another process's write.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a statement waits for a row lock, and how long a transaction may lie idle with its locks: a copy
/// that stalls inside a transaction blocks the others no longer than this.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a ping may take before a connection of its own is opened.
const PING_TIMEOUT: Duration = Duration::from_millis(500);
/// How long opening that connection may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// The pauses between attempts to connect at start.
const RECONNECT: Backoff = Backoff { first: Duration::from_millis(100), limit: Duration::from_secs(2) };

/// A service's database. Cloning shares it.
#[derive(Clone)]
pub struct Database {
    /// The one connection that writes, on SQLite; the pool, on PostgreSQL.
    writer: DatabaseConnection,
    reader: DatabaseConnection,
    clock: Arc<dyn Clock>,
}

impl Database {
    /// Connects to `postgres://user@host/database` or `sqlite://path`, once: a database that does not answer within
    /// seconds is an error. `clock` is the time on SQLite, where database and service are on one machine. A missing
    /// SQLite file is created; a missing folder is an error.
    pub async fn connect(url: &str, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        if url.starts_with("sqlite:") {
            let writer = sea_orm::Database::connect(sqlite_options(url, 1, false)).await?;
            let reader = sea_orm::Database::connect(sqlite_options(url, SQLITE_READERS, true)).await?;
            Ok(Self { writer, reader, clock })
        } else {
            let options = postgres_options(url);
            let given = options.get_url().parse::<PgConnectOptions>();
            let given = given.map_err(|error| StoreError::Unavailable(error.to_string()))?;
            match sea_orm::Database::connect(options).await {
                Ok(pool) => Ok(Self { writer: pool.clone(), reader: pool, clock }),
                Err(error) => Err(connect_error(error, &given).await),
            }
        }
    }

    /// Connects as soon as the database answers, retrying for `limit`. The error is that of the last attempt.
    pub async fn connect_within(
        url: &str,
        clock: Arc<dyn Clock>,
        limit: Duration,
    ) -> Result<Self, StoreError> {
        let deadline = tokio::time::Instant::now() + limit;
        let mut failures = 0;
        loop {
            let connected = Self::connect(url, Arc::clone(&clock)).await;
            let Err(error) = connected else { return connected };
            failures += 1;
            let pause = RECONNECT.pause(failures);
            if tokio::time::Instant::now() + pause >= deadline {
                return Err(error);
            }
            tracing::warn!(%error, "cannot connect to the database yet");
            tokio::time::sleep(pause).await;
        }
    }

    /// Calls `observer` with every statement that this handle and its clones run from now on.
    #[must_use]
    pub fn with_observer(mut self, observer: impl Fn(&Statement) + Clone + Send + Sync + 'static) -> Self {
        let writing = observer.clone();
        self.writer.set_metric_callback(move |info| writing(info.statement));
        self.reader.set_metric_callback(move |info| observer(info.statement));
        self
    }

    /// The connection for reads outside of transactions. On SQLite it refuses to write.
    pub fn read(&self) -> &DatabaseConnection {
        &self.reader
    }

    /// The connection for single statements that write.
    pub fn write(&self) -> &DatabaseConnection {
        &self.writer
    }

    /// Begins a transaction that may write. Dropped without a commit, it is rolled back. On SQLite the transaction holds
    /// the write lock from here on, so that rows it has read do not change.
    pub async fn begin(&self) -> Result<DatabaseTransaction, StoreError> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        Ok(self.writer.begin_with_options(options).await?)
    }

    pub fn backend(&self) -> DbBackend {
        self.writer.get_database_backend()
    }

    /// Returns the time by the database's clock, which all copies of a service share: for ages and leases.
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        if self.backend() == DbBackend::Sqlite {
            return Ok(self.clock.now());
        }
        let statement = Statement::from_string(self.backend(), "SELECT clock_timestamp() AS now");
        let row = self.reader.query_one_raw(statement).await?;
        let row = row.ok_or_else(|| StoreError::Data("the database returned no time".to_owned()))?;
        Ok(row.try_get::<chrono::DateTime<chrono::Utc>>("", "now")?.into())
    }

    /// Checks that the database answers. If PostgreSQL's pool does not, one connection outside of the pool decides: busy
    /// connections do not make a database unavailable.
    pub async fn ping(&self) -> Result<(), StoreError> {
        if self.backend() == DbBackend::Sqlite {
            return Ok(self.reader.ping().await?);
        }
        if let Ok(Ok(())) = tokio::time::timeout(PING_TIMEOUT, self.reader.ping()).await {
            return Ok(());
        }
        let options = self.reader.get_postgres_connection_pool().connect_options();
        probe(&options).await
    }

    /// Closes the connections, and with them SQLite's write-ahead log.
    pub async fn close(self) {
        for connection in [self.writer, self.reader] {
            if let Err(error) = connection.close().await {
                tracing::debug!(%error, "cannot close a database connection");
            }
        }
    }
}

/// Makes `select` lock the rows that it finds until the transaction ends. On SQLite the transaction holds the write lock
/// already, and the statement stays as it is.
pub fn for_update(backend: DbBackend, select: &mut SelectStatement) {
    if backend == DbBackend::Postgres {
        select.lock_exclusive();
    }
}

/// Locks `name` until the transaction ends, for things that have no row to lock yet. On SQLite the transaction holds the
/// write lock already. Two names may share one lock. Against deadlocks a transaction takes at most one name, before it
/// locks any row.
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

/// Replaces the pool's timeout by the error that one connection meets: the pool retries every error of PostgreSQL
/// until its time is up, and returns none of them.
async fn connect_error(error: DbErr, options: &PgConnectOptions) -> StoreError {
    let timed_out = match &error {
        DbErr::ConnectionAcquire(ConnAcquireErr::Timeout) => true,
        DbErr::Conn(RuntimeErr::SqlxError(cause)) => matches!(**cause, sqlx::Error::PoolTimedOut),
        _ => false,
    };
    let probed = if timed_out { probe(options).await } else { Ok(()) };
    probed.err().unwrap_or_else(|| error.into())
}

/// Opens and closes one connection outside of the pool.
async fn probe(options: &PgConnectOptions) -> Result<(), StoreError> {
    match tokio::time::timeout(PROBE_TIMEOUT, options.connect()).await {
        Ok(Ok(connection)) => {
            if let Err(error) = connection.close().await {
                tracing::debug!(%error, "cannot close a probing connection");
            }
            Ok(())
        }
        Ok(Err(error)) => Err(DbErr::Conn(RuntimeErr::SqlxError(error.into())).into()),
        Err(_) => Err(StoreError::Unavailable(format!("no answer within {PROBE_TIMEOUT:?}"))),
    }
}

fn postgres_options(given: &str) -> ConnectOptions {
    // PostgreSQL names the scheme in two ways; sea-orm knows the short one.
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
        // Closing the last connection to a file removes its write-ahead log: keep them open.
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
        .map_sqlx_sqlite_pool_opts(without_stale_transactions);
    options
}

/// Drops a pooled connection that the driver believes to be inside a transaction, before it is used again. SQLite rolls a
/// transaction back by itself when a commit fails for lack of space (FULL, IOERR, NOMEM). The driver's own ROLLBACK then
/// fails, and the driver keeps counting one open transaction: each later transaction on the connection is a savepoint.
/// Once one of those is rolled back, SQLite's transaction stays open and nothing after it is committed, although every
/// write is answered as stored.
fn without_stale_transactions<DB: sqlx::Database>(pool: PoolOptions<DB>) -> PoolOptions<DB> {
    pool.before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
}
