//! Order events in the database: the history of each order, and the outbox that the relay publishes.

use std::collections::HashMap;

use async_trait::async_trait;
use bus::events::event_message;
use bus::message::{Headers, Message, header};
use bus::trace;
use schema::ids::OrderId;
use schema::limits::HISTORY_MAX;
use schema::order_events::OrderEvent;
use schema::order_messages::HistoryEntry;
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use serde::Serialize;
use store::bulk::is_any;
use store::outbox::Outbox;
use store::relay::{OutboxSource, Publication};
use store::{Database, StoreError};
use uuid::Uuid;

use super::query::{from_json, parse, to_u32};
use crate::domain::Changed;
use crate::tables::order_event;

/// The tables that assign positions to order events.
pub(crate) const EVENTS: Outbox = Outbox { events: "order_events", counter: "order_event_counter" };

/// An event to be stored with its change.
#[derive(Debug, Clone)]
pub(crate) struct NewEvent {
    pub(crate) id: Uuid,
    pub(crate) changed: Changed,
    pub(crate) request_id: Option<Uuid>,
    pub(crate) traceparent: Option<String>,
}

impl NewEvent {
    /// Returns the event of a change made within the current span's trace.
    pub(crate) fn new(id: Uuid, changed: Changed, request_id: Option<Uuid>) -> Self {
        let mut message = Message { headers: Headers::new(), ..Message::default() };
        trace::inject(&mut message.headers);
        let traceparent = message.header_text(header::TRACEPARENT).map(str::to_owned);
        Self { id, changed, request_id, traceparent }
    }

    pub(super) fn columns(&self) -> Result<order_event::ActiveModel, StoreError> {
        let Changed { order, kind, previous_status } = &self.changed;
        let serde_json::Value::String(kind) = to_json(kind)? else {
            return Err(StoreError::Data(format!("{kind:?} is not stored as a string")));
        };
        Ok(order_event::ActiveModel {
            seq: NotSet,
            id: Set(self.id),
            position: Set(None),
            order_id: Set(order.id.0),
            customer_id: Set(order.customer_id.to_string()),
            version: Set(order.version.into()),
            kind: Set(kind),
            status: Set(order.status.to_string()),
            previous_status: Set(previous_status.map(|status| status.to_string())),
            occurred_at: Set(order.updated_at.to_utc()),
            request_id: Set(self.request_id),
            payload: Set(to_json(order)?),
            traceparent: Set(self.traceparent.clone()),
            published_at: Set(None),
        })
    }
}

/// Reads the outbox of orders.
pub(crate) struct OrderEvents {
    pub(crate) database: Database,
}

#[async_trait]
impl OutboxSource for OrderEvents {
    async fn unpublished(&self, limit: u64) -> Result<Vec<Publication>, StoreError> {
        let rows = order_event::Entity::find()
            .filter(order_event::Column::PublishedAt.is_null())
            .filter(Expr::col(order_event::Column::Position).gt(0))
            .order_by_asc(order_event::Column::Position)
            .limit(limit)
            .all(self.database.read())
            .await?;
        let publication = |row: order_event::Model| {
            let (id, traceparent) = (row.id, row.traceparent.clone());
            let event = event_from_row(row)?;
            let (target, message) = event_message(id, &event, traceparent.as_deref());
            Ok(Publication { position: event.position, target, message })
        };
        rows.into_iter().map(publication).collect()
    }
}

/// Returns the event of a row that has a position.
pub(crate) fn event_from_row(row: order_event::Model) -> Result<OrderEvent, StoreError> {
    let position = row.position.ok_or_else(|| StoreError::Data("an event has no position".to_owned()))?;
    Ok(OrderEvent {
        position,
        kind: from_json(row.kind.into())?,
        order_id: OrderId(row.order_id),
        customer_id: parse(row.customer_id)?,
        version: to_u32(row.version)?,
        previous_status: row.previous_status.map(parse).transpose()?,
        occurred_at: row.occurred_at.into(),
        order: from_json(row.payload)?,
    })
}

/// Returns the changes of these orders, each order's oldest first.
pub(crate) async fn history(
    connection: &impl ConnectionTrait,
    order_ids: Vec<Uuid>,
) -> Result<HashMap<Uuid, Vec<HistoryEntry>>, StoreError> {
    type Row = (Uuid, String, i64, String, Option<String>, chrono::DateTime<chrono::Utc>);
    let mut entries: HashMap<Uuid, Vec<HistoryEntry>> = HashMap::new();
    if order_ids.is_empty() {
        return Ok(entries);
    }
    let newest = i64::try_from(HISTORY_MAX).expect("it is a small number");
    // Versions have no holes, so that they bound the number of entries too.
    let rows: Vec<Row> = order_event::Entity::find()
        .select_only()
        .columns([
            order_event::Column::OrderId,
            order_event::Column::Kind,
            order_event::Column::Version,
            order_event::Column::Status,
            order_event::Column::PreviousStatus,
            order_event::Column::OccurredAt,
        ])
        .filter(is_any(connection.get_database_backend(), order_event::Column::OrderId, order_ids))
        .filter(order_event::Column::Version.lte(newest))
        .order_by_asc(order_event::Column::OrderId)
        .order_by_asc(order_event::Column::Version)
        .into_tuple()
        .all(connection)
        .await?;
    for (order_id, kind, version, status, previous_status, occurred_at) in rows {
        entries.entry(order_id).or_default().push(HistoryEntry {
            kind: from_json(kind.into())?,
            version: to_u32(version)?,
            status: parse(status)?,
            previous_status: previous_status.map(parse).transpose()?,
            occurred_at: occurred_at.into(),
        });
    }
    Ok(entries)
}

/// Returns the traces that these orders were placed in, as far as they have one.
pub(crate) async fn traceparents(
    connection: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = OrderId>,
) -> Result<HashMap<OrderId, String>, StoreError> {
    let ids: Vec<Uuid> = ids.into_iter().map(|id| id.0).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let found: Vec<(Uuid, Option<String>)> = order_event::Entity::find()
        .select_only()
        .columns([order_event::Column::OrderId, order_event::Column::Traceparent])
        .filter(is_any(connection.get_database_backend(), order_event::Column::OrderId, ids))
        .filter(order_event::Column::Version.eq(1))
        .into_tuple()
        .all(connection)
        .await?;
    Ok(found.into_iter().filter_map(|(id, traceparent)| Some((OrderId(id), traceparent?))).collect())
}

pub(super) fn to_json<T: Serialize>(value: &T) -> Result<serde_json::Value, StoreError> {
    serde_json::to_value(value).map_err(|error| StoreError::Data(error.to_string()))
}
