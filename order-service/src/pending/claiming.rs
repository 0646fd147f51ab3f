use std::collections::BTreeSet;
use std::time::Duration;

use schema::ids::OrderId;
use schema::order::OrderStatus;
use schema::time::Timestamp;
use sea_orm::sea_query::{Condition, Expr, ExprTrait as _, Query};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};
use store::{Database, StoreError};

use crate::orders::{Stored, find, readable};
use crate::tables::order;

/// What a claim lasts beyond the time for asking, for reading and saving.
const CLAIM_MARGIN: Duration = Duration::from_secs(5);

/// What makes an order PENDING, word for word as the partial index has it.
pub(crate) fn pending() -> Condition {
    let status = Expr::col((order::Entity, order::Column::Status));
    readable().add(status.eq(Expr::Constant(OrderStatus::Pending.as_str().into())))
}

/// Takes at most so many orders that are due, for as long as trying them may take: nobody else gets them meanwhile, and
/// somebody does afterwards, whatever becomes of this copy.
pub(super) async fn claim(
    database: &Database,
    now: Timestamp,
    request_timeout: Duration,
    most: u64,
) -> Result<Vec<Stored>, StoreError> {
    let due = order::Column::NextTryAt.lte(now.to_utc());
    // Most ticks find nothing, and should not write to find that.
    let ids: Vec<uuid::Uuid> = order::Entity::find()
        .select_only()
        .column(order::Column::Id)
        .filter(pending())
        .filter(due.clone())
        .order_by_asc(order::Column::NextTryAt)
        .limit(most)
        .into_tuple()
        .all(database.read())
        .await?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let until = now.plus(request_timeout + CLAIM_MARGIN);
    let mut statement = Query::update()
        .table(order::Entity)
        .value(order::Column::NextTryAt, until.to_utc())
        .value(order::Column::Tries, Expr::col(order::Column::Tries).add(1))
        .and_where(order::Column::Id.is_in(ids))
        .and_where(due)
        .cond_where(pending())
        .take();
    statement.returning(Query::returning().column(order::Column::Id));
    let rows = database.write().query_all(&statement).await?;
    let ids: BTreeSet<OrderId> =
        rows.iter().map(|row| Ok(OrderId(row.try_get("", "id")?))).collect::<Result<_, sea_orm::DbErr>>()?;
    let mut stored = find(database.read(), ids.iter().copied()).await?;
    let claimed = ids.into_iter().filter_map(|id| stored.remove(&id));
    Ok(claimed.filter(|stored| stored.order.status == OrderStatus::Pending).collect())
}

/// An order that is to be tried again.
pub(super) struct Again {
    pub(super) stored: Stored,
    /// From when on.
    pub(super) at: Timestamp,
    /// Under which attempt: a later one than before supersedes whatever stood in the way. That it is this order's
    /// is committed before stock is reserved under it.
    pub(super) attempt: u32,
}

/// Gives up the claims of these orders, in one transaction. What has changed since it was claimed stays as it is.
pub(super) async fn put_back(database: &Database, again: &[Again]) -> Result<(), StoreError> {
    if again.is_empty() {
        return Ok(());
    }
    let transaction = database.begin().await?;
    for Again { stored, at, attempt } in again {
        let statement = Query::update()
            .table(order::Entity)
            .value(order::Column::NextTryAt, at.to_utc())
            .value(order::Column::Attempt, i64::from(*attempt))
            .and_where(order::Column::Id.eq(stored.order.id.0))
            .and_where(order::Column::Attempt.eq(i64::from(stored.attempt)))
            .cond_where(pending())
            .take();
        transaction.execute(&statement).await?;
    }
    Ok(transaction.commit().await?)
}
