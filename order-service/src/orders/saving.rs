//! Saving a change together with the event that tells of it.

use schema::order::{Order, OrderStatus};
use schema::order_events::EventKind;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _};
use store::StoreError;

use super::events::NewEvent;
use super::reading::readable;
use super::row::{Stored, columns, line_columns};
use crate::entity::{line_item, order, order_event};

/// Saves the change of `before` that `event` tells of, unless the order has moved on since it was read: changed,
/// deleted, or reserving under another attempt. Says whether it was saved.
pub(crate) async fn save(
    transaction: &impl ConnectionTrait,
    before: &Stored,
    event: &NewEvent,
) -> Result<bool, StoreError> {
    let after = &event.changed.order;
    let mut row = columns(after)?;
    if event.changed.kind == EventKind::Deleted {
        row.deleted_at = Set(Some(after.updated_at.to_utc()));
    }
    if after.status != OrderStatus::Pending {
        row.next_try_at = Set(None);
    }
    let saved = order::Entity::update_many()
        .set(row)
        .filter(order::Column::Id.eq(after.id.0))
        .filter(order::Column::Version.eq(i64::from(before.order.version)))
        .filter(order::Column::Attempt.eq(i64::from(before.attempt)))
        .filter(readable())
        .exec(transaction)
        .await?;
    if saved.rows_affected == 0 {
        return Ok(false);
    }
    if after.line_items != before.order.line_items {
        save_lines(transaction, after).await?;
    }
    order_event::Entity::insert(event.columns()?).exec_without_returning(transaction).await?;
    Ok(true)
}

/// Lines only ever change by being named and priced.
async fn save_lines(transaction: &impl ConnectionTrait, order: &Order) -> Result<(), StoreError> {
    let lines: Vec<_> = line_columns(order).collect();
    let priced = OnConflict::column(line_item::Column::Id)
        .update_columns([line_item::Column::ProductName, line_item::Column::UnitPrice])
        .to_owned();
    line_item::Entity::insert_many(lines).on_conflict(priced).exec_without_returning(transaction).await?;
    Ok(())
}
