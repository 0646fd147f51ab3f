//! The durable queues' file: messages as rows, changed in whole transactions.

mod row;
mod schema;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteLockingMode, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::queues::{Changes, QueueName, Stored};

/// How long opening waits for a process that is just letting go of the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// Rows written by one statement, at the most.
const ROWS_PER_STATEMENT: usize = 64;
/// What is left of the write-ahead log's file once a burst is over, in bytes.
const WAL_SIZE_LIMIT: &str = "67108864";

/// Why a broker's file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    /// It was written by a newer Waybill.
    #[error("{path} has schema version {found}; this program knows versions up to {known}")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version known here.
        known: i64,
    },
    /// A message in it can't be read.
    #[error("message {id} in {path} cannot be read: {reason}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The row.
        id: i64,
        /// What is wrong with it.
        reason: String,
    },
    /// SQLite refuses.
    #[error("{path} cannot be opened: {source}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// In SQLite's words.
        source: sqlx::Error,
    },
}

/// Why changes were not written down.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum CommitError {
    /// They certainly were not.
    #[error("{0}")]
    RolledBack(String),
    /// The commit itself failed: after a crash they may turn out to be there.
    #[error("{0}")]
    Uncertain(String),
}

/// An open file, locked against every other process.
#[derive(Debug)]
pub(crate) struct Journal {
    connection: SqliteConnection,
}

impl Journal {
    /// Opens or creates the file, or a store in memory where there is none, and reads every message,
    /// in the order of their ids.
    ///
    /// `consumed` are the queues that messages are handed out from: where the process died, whatever may
    /// have been in somebody's hands counts as delivered.
    pub(crate) async fn open(
        path: Option<&Path>,
        consumed: &[QueueName],
    ) -> Result<(Self, Vec<Stored>), OpenError> {
        let shown = path.unwrap_or(Path::new(":memory:"));
        let failed = |source| open_error(shown, source);
        let mut connection = options(path).create_if_missing(true).connect().await.map_err(failed)?;
        schema::prepare(&mut connection, shown).await?;
        schema::begin_session(&mut connection, consumed).await.map_err(failed)?;
        let stored = row::read_all(&mut connection, shown).await?;
        Ok((Self { connection }, stored))
    }

    /// Writes all of it down, or nothing. Once this answers `Ok` it survives a crash.
    pub(crate) async fn commit(&mut self, changes: &Changes) -> Result<(), CommitError> {
        if let Err(error) = self.write(changes).await {
            self.roll_back().await;
            return Err(CommitError::RolledBack(error.to_string()));
        }
        if let Err(error) = sqlx::query("COMMIT").execute(&mut self.connection).await {
            self.roll_back().await;
            return Err(CommitError::Uncertain(error.to_string()));
        }
        Ok(())
    }

    /// Notes that the session ended in order, and closes the file.
    pub(crate) async fn close(mut self) {
        let noted = schema::end_session(&mut self.connection).await;
        if let Err(error) = noted.and(self.connection.close().await) {
            tracing::warn!(%error, "the broker's file was not closed in order");
        }
    }

    async fn write(&mut self, changes: &Changes) -> Result<(), sqlx::Error> {
        sqlx::query("BEGIN IMMEDIATE").execute(&mut self.connection).await?;
        for rows in changes.written.chunks(ROWS_PER_STATEMENT) {
            row::insert(rows).build().execute(&mut self.connection).await?;
        }
        if !changes.deleted.is_empty() {
            row::delete(&changes.deleted).execute(&mut self.connection).await?;
        }
        Ok(())
    }

    /// SQLite may have rolled back by itself already, which makes this fail harmlessly.
    async fn roll_back(&mut self) {
        if let Err(error) = sqlx::query("ROLLBACK").execute(&mut self.connection).await {
            tracing::debug!(%error, "nothing to roll back");
        }
    }
}

/// What SQLite finds wrong in a broker's file that no process has open; nothing where it is sound.
///
/// # Errors
/// Where the file does not exist, is in use, or can't be read at all.
pub async fn integrity_check(path: &Path) -> Result<Vec<String>, OpenError> {
    let failed = |source| open_error(path, source);
    let mut connection = options(Some(path)).connect().await.map_err(failed)?;
    let mut findings: Vec<String> =
        sqlx::query_scalar("PRAGMA integrity_check").fetch_all(&mut connection).await.map_err(failed)?;
    connection.close().await.map_err(failed)?;
    findings.retain(|finding| finding != "ok");
    Ok(findings)
}

fn options(path: Option<&Path>) -> SqliteConnectOptions {
    let options = match path {
        Some(path) => SqliteConnectOptions::new().filename(path),
        None => SqliteConnectOptions::new().in_memory(true),
    };
    options
        .busy_timeout(BUSY_TIMEOUT)
        // Locked for as long as it is open: two brokers over one file would each miss the other's messages.
        .locking_mode(SqliteLockingMode::Exclusive)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("journal_size_limit", WAL_SIZE_LIMIT)
        .disable_statement_logging()
}

fn open_error(path: &Path, source: sqlx::Error) -> OpenError {
    const SQLITE_BUSY: u32 = 5;
    let code = source.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    let path = path.to_owned();
    // The low byte of an extended code is the plain one.
    if code.is_some_and(|code| code & 0xff == SQLITE_BUSY) {
        OpenError::InUse(path)
    } else {
        OpenError::Sqlite { path, source }
    }
}
