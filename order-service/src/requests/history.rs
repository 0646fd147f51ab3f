use std::collections::HashMap;

use schema::ids::CustomerId;
use schema::limits::HISTORY_MAX;
use schema::order_messages::{HistoryEntry, OrderRef};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _};
use store::StoreError;
use uuid::Uuid;

use crate::context::Context;
use crate::orders::{EVENTS, history_entry, read, readable};
use crate::tables::{order, order_event};

/// Each order's changes, oldest first; none where the order is not within its asker's reach.
pub(super) async fn history(
    context: &Context,
    refs: Vec<OrderRef>,
) -> Result<Vec<Vec<HistoryEntry>>, StoreError> {
    EVENTS.assign_positions(&context.database).await?;
    let connection = context.database.read();
    let ids: Vec<Uuid> = refs.iter().map(|order| order.order_id.0).collect();
    let rows: Vec<(Uuid, String)> = order::Entity::find()
        .select_only()
        .columns([order::Column::Id, order::Column::CustomerId])
        .filter(readable())
        .filter(order::Column::Id.is_in(ids))
        .into_tuple()
        .all(connection)
        .await?;
    let mut customers: HashMap<Uuid, CustomerId> = HashMap::new();
    for (id, customer_id) in rows {
        customers.insert(id, read(customer_id)?);
    }
    let reached = |asked: &OrderRef| {
        customers.get(&asked.order_id.0).is_some_and(|customer_id| asked.owner.includes(customer_id))
    };
    let reached_ids = refs.iter().filter(|asked| reached(asked)).map(|asked| asked.order_id.0);
    let entries = entries(context, reached_ids.collect()).await?;
    let entries_of = |asked: &OrderRef| match reached(asked) {
        true => entries.get(&asked.order_id.0).cloned().unwrap_or_default(),
        false => Vec::new(),
    };
    Ok(refs.iter().map(entries_of).collect())
}

/// The changes of these orders, each order's oldest first.
pub(super) async fn entries(
    context: &Context,
    order_ids: Vec<Uuid>,
) -> Result<HashMap<Uuid, Vec<HistoryEntry>>, StoreError> {
    let mut entries: HashMap<Uuid, Vec<HistoryEntry>> = HashMap::new();
    if order_ids.is_empty() {
        return Ok(entries);
    }
    let most = i64::try_from(HISTORY_MAX).expect("it is a small number");
    // Versions have no holes, so that they bound the number of entries too.
    let rows = order_event::Entity::find()
        .select_only()
        .columns([
            order_event::Column::OrderId,
            order_event::Column::Kind,
            order_event::Column::Version,
            order_event::Column::Status,
            order_event::Column::PreviousStatus,
            order_event::Column::OccurredAt,
        ])
        .filter(order_event::Column::OrderId.is_in(order_ids))
        .filter(order_event::Column::Version.lte(most))
        .order_by_asc(order_event::Column::OrderId)
        .order_by_asc(order_event::Column::Version)
        .into_tuple()
        .all(context.database.read())
        .await?;
    for row in rows {
        let (order_id, entry) = history_entry(row)?;
        entries.entry(order_id).or_default().push(entry);
    }
    Ok(entries)
}
