//! Updates orders together with the events of their changes.

use std::collections::HashSet;

use schema::ids::OrderId;
use schema::order::OrderStatus;
use schema::order_events::EventKind;
use sea_orm::sea_query::{Expr, ExprTrait as _, IntoIden as _, OnConflict, Query, TableRef, ValueTuple};
use sea_orm::{
    ActiveModelTrait as _, ActiveValue, ConnectionTrait, DbErr, EntityTrait as _, Iterable as _, Value,
};
use store::StoreError;

use super::events::NewEvent;
use super::insert::{LINES_PER_STATEMENT, line_columns, order_columns};
use super::query::{OrderRow, readable};
use crate::tables::{line_item, order, order_event};

/// The columns of a row of values in the update statement.
const ID: usize = 0;
const VERSION: usize = 1;
const ATTEMPT: usize = 2;
const DELETED_AT: usize = 3;
const PENDING: usize = 4;
const CHANGED: usize = 5;

/// Stores a change of `before`, unless the row has changed since it was read: another version, deleted, or another
/// attempt. Returns whether the change was stored.
pub(crate) async fn update(
    transaction: &impl ConnectionTrait,
    before: &OrderRow,
    event: &NewEvent,
) -> Result<bool, StoreError> {
    Ok(update_all(transaction, &[(before, event)]).await? == [true])
}

/// Like [`update`], for up to 1,000 different orders; returns for each whether its change was stored.
pub(crate) async fn update_all(
    transaction: &impl ConnectionTrait,
    changes: &[(&OrderRow, &NewEvent)],
) -> Result<Vec<bool>, StoreError> {
    let updated = update_rows(transaction, changes).await?;
    let (mut lines, mut events) = (Vec::new(), Vec::new());
    for (before, event) in changes.iter().filter(|(before, _)| updated.contains(&before.order.id)) {
        let after = &event.changed.order;
        if after.line_items != before.order.line_items {
            lines.extend(line_columns(after));
        }
        events.push(event.columns()?);
    }
    for lines in lines.chunks(LINES_PER_STATEMENT) {
        // The lines exist, and only their names and prices change: an update of many rows in one statement.
        let priced = OnConflict::column(line_item::Column::Id)
            .update_columns([line_item::Column::ProductName, line_item::Column::UnitPrice])
            .to_owned();
        line_item::Entity::insert_many(lines.to_vec())
            .on_conflict(priced)
            .exec_without_returning(transaction)
            .await?;
    }
    order_event::Entity::insert_many(events).exec_without_returning(transaction).await?;
    Ok(changes.iter().map(|(before, _)| updated.contains(&before.order.id)).collect())
}

/// Updates all rows in one statement, which is faster than one statement each.
async fn update_rows(
    transaction: &impl ConnectionTrait,
    changes: &[(&OrderRow, &NewEvent)],
) -> Result<HashSet<OrderId>, StoreError> {
    let mut rows = Vec::with_capacity(changes.len());
    for (before, event) in changes {
        let after = &event.changed.order;
        let deleted_at = (event.changed.kind == EventKind::Deleted).then(|| after.updated_at.to_utc());
        let mut row = vec![
            after.id.0.into(),
            i64::from(before.order.version).into(),
            i64::from(before.attempt).into(),
            deleted_at.into(),
            (after.status == OrderStatus::Pending).into(),
        ];
        row.extend(set_columns(order_columns(after)?).map(|(_, value)| value));
        rows.push(ValueTuple::Many(row));
    }
    let Some((_, first)) = changes.first() else { return Ok(HashSet::new()) };
    let new = |index: usize| Expr::col(("new", format!("column{}", index + 1)));
    let old = |column: order::Column| Expr::col((order::Entity, column));
    let next_try_at = Expr::case(new(PENDING), old(order::Column::NextTryAt))
        .finally(Expr::val(None::<chrono::DateTime<chrono::Utc>>));
    let changed = set_columns(order_columns(&first.changed.order)?)
        .zip(CHANGED..)
        .map(|((column, _), index)| (column, new(index)));
    let mut statement = Query::update()
        .table(order::Entity)
        .value(order::Column::DeletedAt, new(DELETED_AT))
        .value(order::Column::NextTryAt, next_try_at)
        .values(changed)
        .from(TableRef::ValuesList(rows, "new".into_iden()))
        .and_where(old(order::Column::Id).eq(new(ID)))
        .and_where(old(order::Column::Version).eq(new(VERSION)))
        .and_where(old(order::Column::Attempt).eq(new(ATTEMPT)))
        .cond_where(readable())
        .take();
    statement.returning(Query::returning().expr(old(order::Column::Id)));
    let updated = transaction.query_all(&statement).await?;
    Ok(updated.iter().map(|row| Ok(OrderId(row.try_get("", "id")?))).collect::<Result<_, DbErr>>()?)
}

/// The columns that a change sets, with their values.
fn set_columns(row: order::ActiveModel) -> impl Iterator<Item = (order::Column, Value)> {
    order::Column::iter().filter_map(move |column| match row.get(column) {
        ActiveValue::Set(value) => Some((column, value)),
        _ => None,
    })
}
