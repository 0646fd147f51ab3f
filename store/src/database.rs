//! Connecting to PostgreSQL and SQLite; locks and the database's clock.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bus::backoff::Backoff;
use bus::clock::Clock;
use schema::time::Timestamp;
use sea_orm::sea_query::SelectStatement;
use sea_orm::{
    ConnectOptions, ConnectionTrait, DbBackend, SqliteTransactionMode, Statement, TransactionOptions,
};
use sqlx::Connection as _;
use sqlx::pool::PoolOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};

use crate::error::StoreError;
use crate::health::{Health, WriteFailure};
use crate::pool::Pool;
use crate::postgres::Postgres;
use crate::session::{Connection, Transaction};
use crate::sqlite_file;

/// Read-only connections to SQLite, beside the one that writes.
const SQLITE_READERS: u32 = 4;
/// How long SQLite waits for another process's write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a ping may take before a connection of its own is opened.
const PING_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a write may take that finds out whether the database takes writes again.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
const READ_ONLY: &str = "the server takes no writes: it is a standby, or default_transaction_read_only is on";
/// The pauses between attempts to connect at start.
const RECONNECT: Backoff = Backoff { first: Duration::from_millis(100), limit: Duration::from_secs(2) };

/// A service's database. Cloning shares it.
#[derive(Clone)]
pub struct Database {
    /// The one connection that writes, on SQLite; the pool, on PostgreSQL.
    writer: Connection,
    reader: Connection,
    postgres: Option<Arc<Postgres>>,
    health: Arc<Health>,
    clock: Arc<dyn Clock>,
}

impl Database {
    /// Connects to `postgres://user@host/database` or `sqlite://path`, once: a database that does not answer within
    /// seconds is an error. Of several hosts the first that can be written to is used, and another one when that is lost;
    /// [`check_url`](crate::check_url) says what a URL may hold. `clock` is the time on SQLite, where database and service
    /// are on one machine. A missing SQLite file is created; a missing folder is an error.
    pub async fn connect(url: &str, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        if url.starts_with("sqlite:") {
            connect_sqlite(url, clock).await
        } else {
            connect_postgres(url, clock).await
        }
    }

    /// Connects as soon as the database answers, retrying for `limit`. The error is that of the last attempt. A database
    /// that can't be used as it is configured is not tried again.
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
            let is_final = matches!(error, StoreError::Misconfigured(_));
            if is_final || tokio::time::Instant::now() + pause >= deadline {
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
        self.writer.pool_mut().inner.set_metric_callback(move |info| writing(info.statement));
        self.reader.pool_mut().inner.set_metric_callback(move |info| observer(info.statement));
        self
    }

    /// The connection for reads outside of transactions. On SQLite it refuses to write.
    pub fn read(&self) -> &Connection {
        &self.reader
    }

    /// The connection for single statements that write.
    pub fn write(&self) -> &Connection {
        &self.writer
    }

    /// Begins a transaction that may write. Dropped without a commit, it is rolled back. On SQLite the transaction holds
    /// the write lock from here on, so that rows it has read do not change.
    pub async fn begin(&self) -> Result<Transaction, StoreError> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        Ok(self.writer.begin(options).await?)
    }

    pub fn backend(&self) -> DbBackend {
        self.writer.get_database_backend()
    }

    /// Returns the time by the database's clock, which all copies of a service share: for ages and leases.
    pub async fn now(&self) -> Result<Timestamp, StoreError> {
        self.now_within(&self.reader).await
    }

    /// Like [`Database::now`], asked over a connection that the caller has, such as that of its transaction.
    pub async fn now_within(&self, connection: &impl ConnectionTrait) -> Result<Timestamp, StoreError> {
        if self.backend() == DbBackend::Sqlite {
            return Ok(self.clock.now());
        }
        let statement = Statement::from_string(self.backend(), "SELECT clock_timestamp() AS now");
        let row = connection.query_one_raw(statement).await?;
        let row = row.ok_or_else(|| StoreError::Data("the database returned no time".to_owned()))?;
        Ok(row.try_get::<chrono::DateTime<chrono::Utc>>("", "now")?.into())
    }

    /// Names a table with at least one row that nothing else locks, with a column `version`: on PostgreSQL
    /// [`Database::ping`] writes one of its rows to itself.
    pub fn set_probe_table(&self, table: &'static str) {
        self.health.set_probe_table(table);
    }

    /// Checks that the database answers and takes writes. If PostgreSQL's pool does not answer, one connection outside of
    /// the pool decides: busy connections do not make a database unavailable. If the server is lost or takes no writes, the
    /// pool goes over to another one of the URL's. After a write that failed, a probe writes.
    pub async fn ping(&self) -> Result<(), StoreError> {
        match &self.postgres {
            Some(postgres) => self.ping_postgres(postgres).await?,
            None => self.reader.pool().inner.ping().await?,
        }
        match self.write_failure() {
            Some(WriteFailure { reason, lasts: true, .. }) => self.probe_write(reason).await,
            _ => Ok(()),
        }
    }

    /// The newest failure of a write in this process for a reason that is not the statement's.
    pub fn write_failure(&self) -> Option<WriteFailure> {
        self.health.write_failure()
    }

    /// The file of a SQLite database.
    pub fn file(&self) -> Option<&Path> {
        self.health.file()
    }

    async fn ping_postgres(&self, postgres: &Postgres) -> Result<(), StoreError> {
        let session =
            Statement::from_string(self.backend(), "SELECT current_setting('transaction_read_only')");
        let asked = tokio::time::timeout(PING_TIMEOUT, self.reader.query_one_raw(session)).await;
        let Ok(Ok(Some(row))) = asked else {
            return postgres.choose().await;
        };
        if row.try_get_by_index::<String>(0)? == "on" {
            // The server may take writes again while this session stays as it began.
            self.health.condemn_sessions();
            postgres.choose().await?;
            return Err(StoreError::Unavailable(READ_ONLY.to_owned()));
        }
        Ok(())
    }

    /// Finds out by a write that changes nothing whether writes succeed again after one that failed for `reason`.
    async fn probe_write(&self, reason: String) -> Result<(), StoreError> {
        let sql = match (self.backend(), self.health.probe_table()) {
            (DbBackend::Postgres, None) => return Ok(()),
            (DbBackend::Postgres, Some(table)) => {
                let version = format!("(SELECT MIN(version) FROM {table})");
                format!("UPDATE {table} SET version = version WHERE version = {version}")
            }
            // SQLite does not write a row that stays as it is, but always this number in the file's header.
            _ => "PRAGMA user_version = 0".to_owned(),
        };
        let written = tokio::time::timeout(PROBE_TIMEOUT, self.writer.execute_unprepared(&sql)).await;
        let Ok(written) = written else { return Err(StoreError::Unavailable(reason)) };
        match written.map_err(StoreError::from) {
            Ok(_) => {
                self.health.wrote();
                let lasts = self.write_failure().is_some_and(|failure| failure.lasts);
                if lasts { Err(StoreError::Unavailable(reason)) } else { Ok(()) }
            }
            // A role that may write the service's rows and not this one says nothing about them.
            Err(StoreError::Unavailable(refused)) if is_forbidden(&refused) && !is_forbidden(&reason) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Closes the connections, and with them SQLite's write-ahead log.
    pub async fn close(self) {
        for connection in [self.writer, self.reader] {
            if let Err(error) = connection.pool().inner.clone().close().await {
                tracing::debug!(%error, "cannot close a database connection");
            }
        }
    }
}

async fn connect_sqlite(url: &str, clock: Arc<dyn Clock>) -> Result<Database, StoreError> {
    let file = sqlite_file::file_of_url(url);
    if let Some(file) = &file {
        sqlite_file::check_writable(file).map_err(StoreError::Misconfigured)?;
    }
    let health = Arc::new(Health::of_file(file));
    let connect = async |connections, read_only| {
        let connected = sea_orm::Database::connect(sqlite_options(url, connections, read_only)).await;
        let inner = connected.map_err(|error| health.failed(error, false))?;
        let pool = Pool { inner, is_transaction_pooled: false };
        Ok::<_, StoreError>(Connection::new(pool, &health, !read_only))
    };
    Ok(Database {
        writer: connect(1, false).await?,
        reader: connect(SQLITE_READERS, true).await?,
        postgres: None,
        health,
        clock,
    })
}

async fn connect_postgres(url: &str, clock: Arc<dyn Clock>) -> Result<Database, StoreError> {
    let health = Arc::new(Health::default());
    let postgres = Postgres::connect(url, &health).await?;
    let pool = postgres.pool();
    let reader = Connection::new(pool.clone(), &health, false);
    check_encoding(&reader).await?;
    let writer = Connection::new(pool, &health, true);
    Ok(Database { writer, reader, postgres: Some(postgres), health, clock })
}

/// Refuses a database that can't hold every text: it would accept an order and fail at its address.
async fn check_encoding(connection: &Connection) -> Result<(), StoreError> {
    let encoding = Statement::from_string(DbBackend::Postgres, "SELECT current_setting('server_encoding')");
    let row = connection.query_one_raw(encoding).await?;
    let encoding: String = match row {
        Some(row) => row.try_get_by_index(0)?,
        None => return Err(StoreError::Data("the database has no encoding".to_owned())),
    };
    if encoding == "UTF8" {
        return Ok(());
    }
    Err(StoreError::Misconfigured(format!(
        "the database's encoding is {encoding} and has to be UTF8: make another one with `CREATE DATABASE name \
         ENCODING 'UTF8' TEMPLATE template0`"
    )))
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

/// Whether a reason quotes the SQLSTATE of a missing privilege.
fn is_forbidden(reason: &str) -> bool {
    reason.contains("(42501)")
}

fn sqlite_options(url: &str, connections: u32, read_only: bool) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .min_connections(1)
        .acquire_timeout(BUSY_TIMEOUT)
        // A file does not go away as a server does.
        .test_before_acquire(false)
        // Closing the last connection to a file removes its write-ahead log: keep them open.
        .idle_timeout(None::<Duration>)
        .max_lifetime(None::<Duration>)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(move |options: SqliteConnectOptions| {
            let options = options
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(BUSY_TIMEOUT)
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
