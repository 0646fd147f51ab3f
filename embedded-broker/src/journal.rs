//! The journal: the messages of durable queues as rows of one SQLite file, changed in whole transactions.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bus::message::{Headers, Message};
use schema::time::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::query::Query;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteLockingMode, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _, QueryBuilder, Row as _, Sqlite};

use crate::queues::{Changes, Entry, MessageId, QueueName, Stored};

/// How long opening waits for another process to close the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// Rows written by one statement, at the most.
const ROWS_PER_STATEMENT: usize = 64;
/// The size that the write-ahead log is truncated to after a burst, in bytes.
const WAL_SIZE_LIMIT: &str = "67108864";

const SQLITE_BUSY: u32 = 5;
const SQLITE_FULL: u32 = 13;

/// The version of the tables below, kept in `user_version`.
const VERSION: i64 = 1;

/// How many of a queue's messages count as unacknowledged after a crash: more than its consumers prefetch.
const UNACKED_MAX: i64 = 1_000;
const COUNT_DELIVERIES: &str = "
    UPDATE messages SET delivery_count = delivery_count + 1
    WHERE id IN (SELECT id FROM messages WHERE queue = ?1 ORDER BY id LIMIT ?2)";

/// The broker assigns rising ids; `available_at` is when a waiting message is due, in unix milliseconds. `session` has
/// one row.
const TABLES: &str = "
    CREATE TABLE messages (
        id INTEGER PRIMARY KEY,
        queue TEXT NOT NULL,
        body BLOB NOT NULL,
        properties TEXT NOT NULL,
        delivery_count INTEGER NOT NULL,
        available_at INTEGER
    ) STRICT;
    CREATE TABLE session (ended_well INTEGER NOT NULL) STRICT;
    INSERT INTO session VALUES (1);
    PRAGMA user_version = 1;";

/// Why a journal can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    #[error("{path} has schema version {found}; this program knows versions up to {known}")]
    Newer { path: PathBuf, found: i64, known: i64 },
    #[error("message {id} in {path} cannot be read: {reason}")]
    Unreadable { path: PathBuf, id: i64, reason: String },
    #[error("{path} cannot be opened: {source}")]
    Sqlite { path: PathBuf, source: sqlx::Error },
}

/// Why changes were not journaled.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum CommitError {
    /// Nothing was written.
    #[error("{0}")]
    RolledBack(String),
    /// The commit failed: after a crash the changes may be there.
    #[error("{0}")]
    Uncertain(String),
}

/// An open file, locked against every other process.
#[derive(Debug)]
pub(crate) struct Journal {
    connection: SqliteConnection,
    /// Names the file in errors.
    path: PathBuf,
}

impl Journal {
    /// Opens or creates the file, or a database in memory without a path, and reads every message in the order of ids.
    /// `consumed` are the queues that services consume: if the process before was killed, the messages that may have been
    /// unacknowledged count as delivered.
    pub(crate) async fn open(
        path: Option<&Path>,
        consumed: &[QueueName],
    ) -> Result<(Self, Vec<Stored>), OpenError> {
        let shown = path.unwrap_or(Path::new(":memory:"));
        let failed = |source| open_error(shown, source);
        let mut connection = options(path).create_if_missing(true).connect().await.map_err(failed)?;
        prepare(&mut connection, shown).await?;
        begin_session(&mut connection, consumed).await.map_err(failed)?;
        let stored = read_all(&mut connection, shown).await?;
        Ok((Self { connection, path: shown.to_owned() }, stored))
    }

    /// Writes all changes or none. Once this returns `Ok` they survive a crash.
    ///
    /// `BEGIN` and `COMMIT` are statements of this type's own, of which SQLite refuses each that is not one: a `BEGIN` in a
    /// transaction that was left open, and a `COMMIT` after SQLite has rolled back by itself.
    pub(crate) async fn commit(&mut self, changes: &Changes) -> Result<(), CommitError> {
        if let Err(error) = self.write(changes).await {
            self.roll_back().await;
            return Err(CommitError::RolledBack(self.describe(&error)));
        }
        if let Err(error) = sqlx::query("COMMIT").execute(&mut self.connection).await {
            self.roll_back().await;
            let reason = self.describe(&error);
            // The frame that ends a transaction in the write-ahead log is its last: without space for all of them SQLite
            // did not write that one whole, and reads none of them after a crash. A failed sync is another error.
            let is_full = code(&error) == Some(SQLITE_FULL);
            return Err(if is_full {
                CommitError::RolledBack(reason)
            } else {
                CommitError::Uncertain(reason)
            });
        }
        Ok(())
    }

    /// Finds out whether the file takes writes, by one that changes nothing. SQLite always writes this number.
    pub(crate) async fn probe(&mut self) -> Result<(), CommitError> {
        let write = sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA user_version = {VERSION}")));
        let written = write.execute(&mut self.connection).await;
        written.map(drop).map_err(|error| CommitError::RolledBack(self.describe(&error)))
    }

    fn describe(&self, error: &sqlx::Error) -> String {
        format!("cannot write {}: {error}", self.path.display())
    }

    /// Records that the session ended in order, with no delivery unacknowledged, and closes the file.
    pub(crate) async fn close(mut self) {
        let recorded =
            sqlx::query("UPDATE session SET ended_well = 1").execute(&mut self.connection).await.map(drop);
        if let Err(error) = recorded.and(self.connection.close().await) {
            tracing::warn!(%error, "the broker's file was not closed in order");
        }
    }

    async fn write(&mut self, changes: &Changes) -> Result<(), sqlx::Error> {
        sqlx::query("BEGIN IMMEDIATE").execute(&mut self.connection).await?;
        for rows in changes.written.chunks(ROWS_PER_STATEMENT) {
            insert(rows).build().execute(&mut self.connection).await?;
        }
        if !changes.deleted.is_empty() {
            delete(&changes.deleted).execute(&mut self.connection).await?;
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

/// Returns what SQLite's integrity check finds in a journal that no process has open; nothing if it is sound.
///
/// # Errors
/// If the file does not exist, is in use, or can't be read at all.
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
        // Locked while it is open: two brokers over one file would each miss the other's messages.
        .locking_mode(SqliteLockingMode::Exclusive)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("journal_size_limit", WAL_SIZE_LIMIT)
        .disable_statement_logging()
}

fn open_error(path: &Path, source: sqlx::Error) -> OpenError {
    let path = path.to_owned();
    if code(&source) == Some(SQLITE_BUSY) {
        OpenError::InUse(path)
    } else {
        OpenError::Sqlite { path, source }
    }
}

/// SQLite's plain code of an error: the low byte of an extended one.
fn code(error: &sqlx::Error) -> Option<u32> {
    Some(error.as_database_error()?.code()?.parse::<u32>().ok()? & 0xff)
}

/// Creates the tables in a new file; refuses a file of a newer version.
async fn prepare(connection: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
    let failed = |source| open_error(path, source);
    let found = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await;
    match found.map_err(failed)? {
        0 => {
            let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
            sqlx::raw_sql(TABLES).execute(&mut *transaction).await.map_err(failed)?;
            transaction.commit().await.map_err(failed)
        }
        VERSION => Ok(()),
        found => Err(OpenError::Newer { path: path.to_owned(), found, known: VERSION }),
    }
}

/// Records that a session has begun. If the session before did not end in order, the oldest messages of the consumed
/// queues count as delivered once more: one of them may be what kills the process. Deliveries themselves are not
/// journaled, which would cost a commit each and still come too late for a message that kills at once.
async fn begin_session(connection: &mut SqliteConnection, consumed: &[QueueName]) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let ended_well: bool =
        sqlx::query_scalar("SELECT ended_well FROM session").fetch_one(&mut *transaction).await?;
    if !ended_well {
        for queue in consumed {
            sqlx::query(COUNT_DELIVERIES).bind(&**queue).bind(UNACKED_MAX).execute(&mut *transaction).await?;
        }
    }
    sqlx::query("UPDATE session SET ended_well = 0").execute(&mut *transaction).await?;
    transaction.commit().await
}

/// A message without its body. An absent field is null, so that fields can be added.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Properties {
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expiration_ms: Option<u64>,
    persistent: bool,
    headers: Headers,
}

/// Inserts rows. Ids are unique, so a conflict is a defect and fails.
fn insert(rows: &[Stored]) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(
        "INSERT INTO messages (id, queue, body, properties, delivery_count, available_at) ",
    );
    query.push_values(rows, |mut columns, Stored { id, queue, entry }| {
        columns
            .push_bind(sqlite_id(*id))
            .push_bind(queue.to_string())
            .push_bind(entry.message.body.to_vec())
            .push_bind(properties(&entry.message))
            .push_bind(entry.delivery_count)
            .push_bind(entry.due);
    });
    query
}

/// Deletes rows; rows that don't exist are ignored.
fn delete(ids: &[MessageId]) -> Query<'static, Sqlite, SqliteArguments> {
    let ids: Vec<i64> = ids.iter().map(|id| sqlite_id(*id)).collect();
    let ids = serde_json::to_string(&ids).expect("numbers can be written as JSON");
    sqlx::query("DELETE FROM messages WHERE id IN (SELECT value FROM json_each(?1))").bind(ids)
}

/// Reads every message, by id.
async fn read_all(connection: &mut SqliteConnection, path: &Path) -> Result<Vec<Stored>, OpenError> {
    const NEXT: &str = "
        SELECT id, queue, body, properties, delivery_count, available_at FROM messages
        WHERE id > ?1 ORDER BY id LIMIT ?2";
    const PAGE: i64 = 1_000;
    let mut messages: Vec<Stored> = Vec::new();
    loop {
        let last = messages.last().map_or(0, |message| sqlite_id(message.id));
        let page = sqlx::query(NEXT).bind(last).bind(PAGE).fetch_all(&mut *connection).await;
        let page = page.map_err(|source| open_error(path, source))?;
        if page.is_empty() {
            return Ok(messages);
        }
        for row in &page {
            messages.push(read(row, path)?);
        }
    }
}

fn read(row: &SqliteRow, path: &Path) -> Result<Stored, OpenError> {
    let failed = |source| open_error(path, source);
    let id: i64 = row.try_get(0).map_err(failed)?;
    let unreadable = |reason: String| OpenError::Unreadable { path: path.to_owned(), id, reason };
    let queue: &str = row.try_get(1).map_err(failed)?;
    let body: Vec<u8> = row.try_get(2).map_err(failed)?;
    let properties: &str = row.try_get(3).map_err(failed)?;
    let properties: Properties =
        serde_json::from_str(properties).map_err(|error| unreadable(error.to_string()))?;
    let message = Message {
        body: body.into(),
        message_id: properties.message_id,
        correlation_id: properties.correlation_id,
        reply_to: properties.reply_to,
        kind: properties.kind,
        timestamp: properties.timestamp,
        expiration: properties.expiration_ms.map(Duration::from_millis),
        persistent: properties.persistent,
        headers: properties.headers,
    };
    Ok(Stored {
        id: MessageId(u64::try_from(id).map_err(|error| unreadable(error.to_string()))?),
        queue: queue.into(),
        entry: Entry {
            message,
            delivery_count: row.try_get(4).map_err(failed)?,
            due: row.try_get(5).map_err(failed)?,
        },
    })
}

fn properties(message: &Message) -> String {
    let properties = Properties {
        message_id: message.message_id.clone(),
        correlation_id: message.correlation_id.clone(),
        reply_to: message.reply_to.clone(),
        kind: message.kind.clone(),
        timestamp: message.timestamp,
        expiration_ms: message.expiration.map(|stay| u64::try_from(stay.as_millis()).unwrap_or(u64::MAX)),
        persistent: message.persistent,
        headers: message.headers.clone(),
    };
    serde_json::to_string(&properties).expect("properties can be written as JSON")
}

fn sqlite_id(id: MessageId) -> i64 {
    i64::try_from(id.0).expect("ids count messages and stay far below 2^63")
}
