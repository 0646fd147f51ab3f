//! Events in the database: the history of each order, and the outbox.

use std::collections::HashMap;

use bus::message::{Headers, header};
use bus::trace;
use schema::ids::OrderId;
use schema::order::Order;
use schema::order_events::{EventKind, OrderEvent};
use schema::order_messages::HistoryEntry;
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QuerySelect as _};
use store::StoreError;
use store::outbox::Outbox;
use uuid::Uuid;

use super::row::{from_json, number, read, timestamp, to_json};
use crate::domain::Changed;
use crate::tables::order_event;

/// The tables that order events are numbered in.
pub(crate) const EVENTS: Outbox = Outbox { events: "order_events", counter: "order_event_counter" };

/// An event to be stored with the change that it tells of.
#[derive(Debug, Clone)]
pub(crate) struct NewEvent {
    pub(crate) id: Uuid,
    pub(crate) changed: Changed,
    pub(crate) request_id: Option<Uuid>,
    pub(crate) traceparent: Option<String>,
}

impl NewEvent {
    /// Of a change made within the current span's trace.
    pub(crate) fn new(id: Uuid, changed: Changed, request_id: Option<Uuid>) -> Self {
        Self { id, changed, request_id, traceparent: current_traceparent() }
    }

    /// That an order was stored.
    pub(super) fn created(id: Uuid, order: Order, traceparent: Option<String>) -> Self {
        let changed = Changed { order, kind: EventKind::Created, previous_status: None };
        Self { id, changed, request_id: None, traceparent }
    }

    pub(super) fn columns(&self) -> Result<order_event::ActiveModel, StoreError> {
        let Changed { order, kind, previous_status } = &self.changed;
        Ok(order_event::ActiveModel {
            id: Set(self.id),
            order_id: Set(order.id.0),
            customer_id: Set(order.customer_id.to_string()),
            version: Set(order.version.into()),
            kind: Set(kind_text(*kind)?),
            status: Set(order.status.to_string()),
            previous_status: Set(previous_status.map(|status| status.to_string())),
            occurred_at: Set(order.updated_at.to_utc()),
            request_id: Set(self.request_id),
            payload: Set(to_json(order)?),
            traceparent: Set(self.traceparent.clone()),
            ..Default::default()
        })
    }
}

/// The event of a row that has been numbered.
pub(crate) fn event_of_row(row: order_event::Model) -> Result<OrderEvent, StoreError> {
    let position = row.position.ok_or_else(|| StoreError::Data("an event has no position".to_owned()))?;
    Ok(OrderEvent {
        position,
        kind: kind_of(row.kind)?,
        order_id: OrderId(row.order_id),
        customer_id: read(row.customer_id)?,
        version: number(row.version)?,
        previous_status: row.previous_status.map(read).transpose()?,
        occurred_at: timestamp(row.occurred_at),
        order: from_json(row.payload)?,
    })
}

/// The order as an event left it.
pub(crate) fn event_order(row: order_event::Model) -> Result<Order, StoreError> {
    from_json(row.payload)
}

/// An event's columns in a history: order, kind, version, status, previous status and time.
pub(crate) type HistoryRow = (Uuid, String, i64, String, Option<String>, chrono::DateTime<chrono::Utc>);

/// The order that a row of its history is of, and the entry that it makes.
pub(crate) fn history_entry(row: HistoryRow) -> Result<(Uuid, HistoryEntry), StoreError> {
    let (order_id, kind, version, status, previous_status, occurred_at) = row;
    let entry = HistoryEntry {
        kind: kind_of(kind)?,
        version: number(version)?,
        status: read(status)?,
        previous_status: previous_status.map(read).transpose()?,
        occurred_at: timestamp(occurred_at),
    };
    Ok((order_id, entry))
}

fn kind_of(text: String) -> Result<EventKind, StoreError> {
    from_json(text.into())
}

fn kind_text(kind: EventKind) -> Result<String, StoreError> {
    match to_json(&kind)? {
        serde_json::Value::String(text) => Ok(text),
        other => Err(StoreError::Data(format!("{other} is no kind of event"))),
    }
}

/// The traces that these orders were placed in, as far as they have one.
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
        .filter(order_event::Column::OrderId.is_in(ids))
        .filter(order_event::Column::Version.eq(1))
        .into_tuple()
        .all(connection)
        .await?;
    Ok(found.into_iter().filter_map(|(id, traceparent)| Some((OrderId(id), traceparent?))).collect())
}

/// The trace that the current span belongs to, as a header says it.
fn current_traceparent() -> Option<String> {
    let mut message = bus::message::Message { headers: Headers::new(), ..Default::default() };
    trace::inject(&mut message.headers);
    message.header_text(header::TRACEPARENT).map(str::to_owned)
}
