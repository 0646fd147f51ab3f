//! Saving changes together with the events that tell of them.

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
use super::keeping::LINES_AT_ONCE;
use super::reading::readable;
use super::row::{Stored, columns, line_columns};
use crate::tables::{line_item, order, order_event};

/// Where the values of a row are that is to be saved.
const ID: usize = 0;
const VERSION: usize = 1;
const ATTEMPT: usize = 2;
const DELETED_AT: usize = 3;
const PENDING: usize = 4;
const CHANGING: usize = 5;

/// Saves the change of `before` that `event` tells of, unless the order has moved on since it was read: changed,
/// deleted, or reserving under another attempt. Says whether it was saved.
pub(crate) async fn save(
    transaction: &impl ConnectionTrait,
    before: &Stored,
    event: &NewEvent,
) -> Result<bool, StoreError> {
    Ok(save_all(transaction, &[(before, event)]).await? == [true])
}

/// Like [`save`], of up to 1,000 different orders; says of each whether it was saved.
pub(crate) async fn save_all(
    transaction: &impl ConnectionTrait,
    changes: &[(&Stored, &NewEvent)],
) -> Result<Vec<bool>, StoreError> {
    let saved = save_rows(transaction, changes).await?;
    let (mut lines, mut events) = (Vec::new(), Vec::new());
    for (before, event) in changes.iter().filter(|(before, _)| saved.contains(&before.order.id)) {
        let after = &event.changed.order;
        if after.line_items != before.order.line_items {
            lines.extend(line_columns(after));
        }
        events.push(event.columns()?);
    }
    save_lines(transaction, &lines).await?;
    order_event::Entity::insert_many(events).exec_without_returning(transaction).await?;
    Ok(changes.iter().map(|(before, _)| saved.contains(&before.order.id)).collect())
}

/// All in one statement, which is what makes many of them quick.
async fn save_rows(
    transaction: &impl ConnectionTrait,
    changes: &[(&Stored, &NewEvent)],
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
        row.extend(changing(columns(after)?).map(|(_, value)| value));
        rows.push(ValueTuple::Many(row));
    }
    let Some((_, first)) = changes.first() else { return Ok(HashSet::new()) };
    let column = |at: usize| Expr::col(("new", format!("column{}", at + 1)));
    let next_try_at = Expr::case(column(PENDING), Expr::col((order::Entity, order::Column::NextTryAt)))
        .finally(Expr::val(None::<chrono::DateTime<chrono::Utc>>));
    let of = |at: order::Column| Expr::col((order::Entity, at));
    let mut statement = Query::update()
        .table(order::Entity)
        .value(order::Column::DeletedAt, column(DELETED_AT))
        .value(order::Column::NextTryAt, next_try_at)
        .values(
            changing(columns(&first.changed.order)?)
                .zip(CHANGING..)
                .map(|((name, _), at)| (name, column(at))),
        )
        .from(TableRef::ValuesList(rows, "new".into_iden()))
        .and_where(of(order::Column::Id).eq(column(ID)))
        .and_where(of(order::Column::Version).eq(column(VERSION)))
        .and_where(of(order::Column::Attempt).eq(column(ATTEMPT)))
        .cond_where(readable())
        .take();
    statement.returning(Query::returning().expr(of(order::Column::Id)));
    let saved = transaction.query_all(&statement).await?;
    Ok(saved.iter().map(|row| Ok(OrderId(row.try_get("", "id")?))).collect::<Result<_, DbErr>>()?)
}

/// What a change sets, column by column.
fn changing(row: order::ActiveModel) -> impl Iterator<Item = (order::Column, Value)> {
    order::Column::iter().filter_map(move |column| match row.get(column) {
        ActiveValue::Set(value) => Some((column, value)),
        _ => None,
    })
}

/// Lines only ever change by being named and priced.
async fn save_lines(
    transaction: &impl ConnectionTrait,
    lines: &[line_item::ActiveModel],
) -> Result<(), StoreError> {
    for some in lines.chunks(LINES_AT_ONCE) {
        let priced = OnConflict::column(line_item::Column::Id)
            .update_columns([line_item::Column::ProductName, line_item::Column::UnitPrice])
            .to_owned();
        line_item::Entity::insert_many(some.to_vec())
            .on_conflict(priced)
            .exec_without_returning(transaction)
            .await?;
    }
    Ok(())
}
