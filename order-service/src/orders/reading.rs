//! Reading orders with their lines.

use std::collections::HashMap;

use schema::ids::OrderId;
use sea_orm::sea_query::{Condition, Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _, QueryTrait,
};
use store::{StoreError, for_update};
use uuid::Uuid;

use super::row::Stored;
use crate::tables::{line_item, order};

/// What readers may see: neither deleted orders nor fences. Word for word the predicate of the partial indexes,
/// without parameters, so that PostgreSQL can tell that they apply.
pub(crate) fn readable() -> Condition {
    Condition::all()
        .add(order::Column::DeletedAt.is_null())
        .add(Expr::col((order::Entity, order::Column::Fenced)).not())
}

/// The rows of these ids, deleted ones and fences included.
pub(crate) async fn find(
    connection: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = OrderId>,
) -> Result<HashMap<OrderId, Stored>, StoreError> {
    let ids: Vec<Uuid> = ids.into_iter().map(|id| id.0).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = order::Entity::find().filter(order::Column::Id.is_in(ids)).all(connection).await?;
    let stored = with_lines(connection, rows).await?;
    Ok(stored.into_iter().map(|stored| (stored.order.id, stored)).collect())
}

/// The row of this id, locked until the transaction ends.
pub(crate) async fn lock(
    transaction: &impl ConnectionTrait,
    id: OrderId,
) -> Result<Option<Stored>, StoreError> {
    let mut select = order::Entity::find_by_id(id.0);
    for_update(transaction.get_database_backend(), QueryTrait::query(&mut select));
    let Some(row) = select.one(transaction).await? else { return Ok(None) };
    Ok(with_lines(transaction, vec![row]).await?.pop())
}

/// Rows with their lines, in the same order.
pub(crate) async fn with_lines(
    connection: &impl ConnectionTrait,
    rows: Vec<order::Model>,
) -> Result<Vec<Stored>, StoreError> {
    let mut lines = line_items(connection, rows.iter().map(|row| row.id).collect()).await?;
    rows.into_iter()
        .map(|row| {
            let lines = lines.remove(&row.id).unwrap_or_default();
            Stored::of(row, lines)
        })
        .collect()
}

/// The lines of these orders, each order's in their own order.
pub(crate) async fn line_items(
    connection: &impl ConnectionTrait,
    order_ids: Vec<Uuid>,
) -> Result<HashMap<Uuid, Vec<line_item::Model>>, StoreError> {
    let mut lines: HashMap<Uuid, Vec<line_item::Model>> = HashMap::new();
    if order_ids.is_empty() {
        return Ok(lines);
    }
    let rows = line_item::Entity::find()
        .filter(line_item::Column::OrderId.is_in(order_ids))
        .order_by_asc(line_item::Column::OrderId)
        .order_by_asc(line_item::Column::Position)
        .all(connection)
        .await?;
    for row in rows {
        lines.entry(row.order_id).or_default().push(row);
    }
    Ok(lines)
}
