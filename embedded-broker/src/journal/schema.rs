//! The file's tables and their version.

use std::path::Path;

use sqlx::Connection as _;
use sqlx::sqlite::SqliteConnection;

use super::{OpenError, open_error};
use crate::queues::QueueName;

/// The version of the tables below, kept in `user_version`.
const VERSION: i64 = 1;

/// How many of a queue's messages are taken to have been in consumers' hands: more than they prefetch.
const IN_HANDS_MAX: i64 = 1_000;

const COUNT_DELIVERIES: &str = "
    UPDATE messages SET delivery_count = delivery_count + 1
    WHERE id IN (SELECT id FROM messages WHERE queue = ?1 ORDER BY id LIMIT ?2)";

/// Ids are given by the broker and rise; `available_at` is when a waiting message is due, in unix milliseconds.
/// `session` has one row.
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

/// Creates the tables in a new file; refuses one that a newer program has written.
pub(super) async fn prepare(connection: &mut SqliteConnection, path: &Path) -> Result<(), OpenError> {
    let failed = |source| open_error(path, source);
    let found: i64 =
        sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut *connection).await.map_err(failed)?;
    match found {
        0 => create(connection).await.map_err(failed),
        VERSION => Ok(()),
        _ => Err(OpenError::Newer { path: path.to_owned(), found, known: VERSION }),
    }
}

async fn create(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql(TABLES).execute(&mut *transaction).await?;
    transaction.commit().await
}

/// Notes that a session has begun.
///
/// Where the one before was cut off, the oldest messages of the consumed queues count as delivered once
/// more: one of them may be what kills the process. Deliveries themselves are not written down, which would
/// cost a commit each and still come too late for a message that kills at once.
pub(super) async fn begin_session(
    connection: &mut SqliteConnection,
    consumed: &[QueueName],
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let ended_well: bool =
        sqlx::query_scalar("SELECT ended_well FROM session").fetch_one(&mut *transaction).await?;
    if !ended_well {
        for queue in consumed {
            sqlx::query(COUNT_DELIVERIES)
                .bind(&**queue)
                .bind(IN_HANDS_MAX)
                .execute(&mut *transaction)
                .await?;
        }
    }
    sqlx::query("UPDATE session SET ended_well = 0").execute(&mut *transaction).await?;
    transaction.commit().await
}

/// Notes that the session ended in order: nothing was in anybody's hands.
pub(super) async fn end_session(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE session SET ended_well = 1").execute(connection).await?;
    Ok(())
}
