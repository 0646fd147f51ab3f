//! What the service has yet to do: events to be published, and PENDING orders. For audits, and for gauges.

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

/// How often the gauges are brought up to date.
const EVERY: Duration = Duration::from_secs(5);
/// More than that is "many".
const COUNTED: u64 = 100_000;

/// Events that are not yet published; more than 100,000 are not counted.
pub(crate) async fn unpublished(context: &Context) -> Result<u64, StoreError> {
    let events = order_event::Entity::find().select_only().column(order_event::Column::Seq);
    count(&context.database, events.filter(order_event::Column::PublishedAt.is_null())).await
}

/// How long what waits has waited; more than 100,000 PENDING orders are not counted.
pub(crate) async fn backlog(context: &Context) -> Result<Backlog, StoreError> {
    let orders = order::Entity::find().select_only().filter(pending());
    Ok(Backlog {
        now: context.clock.now(),
        unpublished_since: unpublished_since(context).await?.map(Into::into),
        pending: count(&context.database, orders.clone().column(order::Column::Id)).await?,
        pending_since: pending_since(context, orders).await?.map(Into::into),
    })
}

/// When the first event happened that waits: the lowest position, or where none has one, the first in line for one.
async fn unpublished_since(context: &Context) -> Result<Option<DateTimeUtc>, StoreError> {
    use order_event::Column::{OccurredAt, Position, PublishedAt, Seq};
    let events = || order_event::Entity::find().select_only().column(OccurredAt).limit(1);
    let numbered =
        events().filter(PublishedAt.is_null()).filter(Position.is_not_null()).order_by_asc(Position);
    let connection = context.database.read();
    if let Some(since) = numbered.into_tuple().one(connection).await? {
        return Ok(Some(since));
    }
    Ok(events().filter(Position.is_null()).order_by_asc(Seq).into_tuple().one(connection).await?)
}

/// Since when the PENDING order is so that was placed first. An order is PENDING from its placing on or never, so that
/// none is for noticeably longer.
async fn pending_since(
    context: &Context,
    orders: Select<order::Entity>,
) -> Result<Option<DateTimeUtc>, StoreError> {
    let first = orders.column(order::Column::PendingSince).order_by_asc(order::Column::CreatedAt).limit(1);
    let since: Option<Option<DateTimeUtc>> = first.into_tuple().one(context.database.read()).await?;
    Ok(since.flatten())
}

async fn count<E: EntityTrait>(database: &Database, rows: Select<E>) -> Result<u64, StoreError> {
    let some: SelectStatement = rows.limit(COUNTED).into_query();
    let count =
        Query::select().expr_as(Expr::cust("COUNT(*)"), "counted").from_subquery(some, "some_rows").take();
    let row = database.read().query_one(&count).await?;
    let row = row.ok_or_else(|| StoreError::Data("nothing was counted".to_owned()))?;
    let counted: i64 = row.try_get("", "counted")?;
    Ok(u64::try_from(counted).unwrap_or_default())
}

/// Brings the gauges up to date. Every copy of the service shows the same, as they share the database.
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

/// Keeps them so, until dropped.
pub(crate) async fn keep_recording(context: Context) {
    loop {
        if let Err(error) = record(&context).await {
            tracing::debug!(%error, "the gauges of what waits are out of date");
        }
        tokio::time::sleep(EVERY).await;
    }
}
