//! A message as a row.

use std::path::Path;
use std::time::Duration;

use bus::message::{Headers, Message};
use schema::time::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{QueryBuilder, Row as _, Sqlite};

use super::{OpenError, open_error};
use crate::queues::{Entry, MessageId, Stored};

/// Everything of a message but its body. A field that is absent is null, so that fields can be added.
#[derive(Serialize, Deserialize)]
#[serde(default)]
#[derive(Default)]
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

/// Inserts rows. Ids are unique, so that a conflict would be a defect and fails.
pub(super) fn insert(rows: &[Stored]) -> QueryBuilder<Sqlite> {
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

/// Deletes rows; those that don't exist are as good as deleted.
pub(super) fn delete(ids: &[MessageId]) -> Query<'static, Sqlite, SqliteArguments> {
    let ids: Vec<i64> = ids.iter().map(|id| sqlite_id(*id)).collect();
    let ids = serde_json::to_string(&ids).expect("numbers can be written as JSON");
    sqlx::query("DELETE FROM messages WHERE id IN (SELECT value FROM json_each(?1))").bind(ids)
}

/// Reads every message, by id.
pub(super) async fn read_all(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<Vec<Stored>, OpenError> {
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
    i64::try_from(id.0).expect("ids count messages, of which there are not that many")
}
