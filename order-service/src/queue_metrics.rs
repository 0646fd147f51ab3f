//! Counts what waits: unpublished events and PENDING orders, for audits and for gauges.

use std::time::Duration;

use schema::order_messages::Backlog;
use schema::time::Timestamp;
use sea_orm::prelude::DateTimeUtc;
use sea_orm::sea_query::{Expr, Query, SelectStatement};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    QueryTrait as _, Select,
};
use store::{Database, StoreError};

use crate::context::Context;
use crate::pending::pending;
use crate::tables::{order, order_event};

const RECORD_INTERVAL: Duration = Duration::from_secs(5);
/// Counting stops here, to bound what it reads.
const COUNT_MAX: u64 = 100_000;

/// Returns the number of unpublished events, at most 100,000.
pub(crate) async fn unpublished(context: &Context) -> Result<u64, StoreError> {
    let events = order_event::Entity::find().select_only().column(order_event::Column::Seq);
    count(&context.database, events.filter(order_event::Column::PublishedAt.is_null())).await
}

/// Returns the number of PENDING orders, at most 100,000, and the ages of the oldest one and of the oldest unpublished
/// event.
pub(crate) async fn backlog(context: &Context) -> Result<Backlog, StoreError> {
    let orders = order::Entity::find().select_only().filter(pending());
    // An order is PENDING from its creation on or never, so that none is for noticeably longer than the oldest.
    let first = orders
        .clone()
        .column(order::Column::PendingSince)
        .order_by_asc(order::Column::CreatedAt)
        .limit(1)
        .into_tuple();
    let pending_since: Option<Option<DateTimeUtc>> = first.one(context.database.read()).await?;
    Ok(Backlog {
        now: context.clock.now(),
        unpublished_since: unpublished_since(context).await?.map(Into::into),
        pending: count(&context.database, orders.column(order::Column::Id)).await?,
        pending_since: pending_since.flatten().map(Into::into),
    })
}

/// Returns when the oldest unpublished event happened: the one with the lowest position, or if none has a position, the
/// one that gets the next.
async fn unpublished_since(context: &Context) -> Result<Option<DateTimeUtc>, StoreError> {
    use order_event::Column::{OccurredAt, Position, PublishedAt, Seq};
    let events = || order_event::Entity::find().select_only().column(OccurredAt).limit(1);
    let positioned =
        events().filter(PublishedAt.is_null()).filter(Position.is_not_null()).order_by_asc(Position);
    let connection = context.database.read();
    if let Some(since) = positioned.into_tuple().one(connection).await? {
        return Ok(Some(since));
    }
    Ok(events().filter(Position.is_null()).order_by_asc(Seq).into_tuple().one(connection).await?)
}

async fn count<E: EntityTrait>(database: &Database, rows: Select<E>) -> Result<u64, StoreError> {
    let some: SelectStatement = rows.limit(COUNT_MAX).into_query();
    let count =
        Query::select().expr_as(Expr::cust("COUNT(*)"), "counted").from_subquery(some, "some_rows").take();
    let row = database.read().query_one(&count).await?;
    let row = row.ok_or_else(|| StoreError::Data("COUNT returned no row".to_owned()))?;
    let counted: i64 = row.try_get("", "counted")?;
    Ok(u64::try_from(counted).unwrap_or_default())
}

/// Updates the gauges. Every copy of the service shows the same, as they share the database.
pub async fn record(context: &Context) -> Result<(), StoreError> {
    let unpublished = unpublished(context).await?;
    let backlog = backlog(context).await?;
    let age = |since: Option<Timestamp>| since.map_or(0.0, |since| backlog.now.since(since).as_secs_f64());
    metrics::gauge!("waybill_outbox_events").set(unpublished as f64);
    metrics::gauge!("waybill_outbox_oldest_seconds").set(age(backlog.unpublished_since));
    metrics::gauge!("waybill_pending_orders").set(backlog.pending as f64);
    metrics::gauge!("waybill_pending_orders_oldest_seconds").set(age(backlog.pending_since));
    Ok(())
}

/// Updates the gauges every five seconds until dropped.
pub(crate) async fn keep_recording(context: Context) {
    loop {
        if let Err(error) = record(&context).await {
            tracing::debug!(%error, "cannot update the gauges of waiting events and orders");
        }
        tokio::time::sleep(RECORD_INTERVAL).await;
    }
}
