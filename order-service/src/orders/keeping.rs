//! Keeping what was placed: the order, its lines and its first event, once per order id.

use std::collections::HashSet;

use schema::ids::OrderId;
use schema::order::{Order, OrderStatus};
use schema::time::Timestamp;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbErr, EntityTrait as _, QueryFilter as _, TryInsertResult,
};
use store::{Database, StoreError};
use uuid::Uuid;

use super::events::NewEvent;
use super::row::{Stored, columns, line_columns};
use crate::tables::{line_item, order, order_event};

/// Lines in one statement: seven parameters each, of the 32,766 that SQLite takes.
pub(super) const LINES_AT_ONCE: usize = 4_000;

/// An order on its way into the database.
#[derive(Debug, Clone)]
pub(crate) struct NewOrder {
    pub(crate) order: Order,
    /// Under which stock was, or is to be, reserved.
    pub(crate) attempt: u32,
    /// The id of the message that places it.
    pub(crate) created_by: Uuid,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) traceparent: Option<String>,
    /// The id of its first event's message.
    pub(crate) event_id: Uuid,
    /// Whether a fence has its id: the order then takes that row's place, where its attempt is a later one.
    pub(crate) over_fence: bool,
    /// By the database's clock: since when it is PENDING, if it is.
    pub(crate) now: Timestamp,
}

impl NewOrder {
    /// As it reads back.
    pub(crate) fn stored(&self) -> Stored {
        Stored {
            order: self.order.clone(),
            attempt: self.attempt,
            created_by: self.created_by,
            deleted: false,
            pending_since: self.pending_since(),
            tries: 0,
        }
    }

    fn pending_since(&self) -> Option<Timestamp> {
        (self.order.status == OrderStatus::Pending).then_some(self.now)
    }

    fn columns(&self) -> Result<order::ActiveModel, StoreError> {
        let pending_since = Set(self.pending_since().map(Timestamp::to_utc));
        Ok(order::ActiveModel {
            attempt: Set(self.attempt.into()),
            idempotency_key: Set(self.idempotency_key.clone()),
            created_by: Set(self.created_by),
            created_at: Set(self.order.created_at.to_utc()),
            deleted_at: Set(None),
            fenced: Set(false),
            pending_since: pending_since.clone(),
            next_try_at: pending_since,
            tries: Set(0),
            ..columns(&self.order)?
        })
    }

    fn event(&self) -> NewEvent {
        NewEvent::created(self.event_id, self.order.clone(), self.traceparent.clone())
    }
}

/// Stores them in one transaction, and answers which were: an id that somebody else has stored in the meantime, or
/// fenced with this attempt or a later one, is left alone.
///
/// They are taken in the order of their ids, so that two batches can't wait for one another.
pub(crate) async fn keep(
    database: &Database,
    new_orders: &[NewOrder],
) -> Result<HashSet<OrderId>, StoreError> {
    let mut sorted: Vec<&NewOrder> = new_orders.iter().collect();
    sorted.sort_by_key(|new_order| new_order.order.id);
    let transaction = database.begin().await?;
    let (over_fences, fresh): (Vec<_>, Vec<_>) =
        sorted.iter().copied().partition(|new_order| new_order.over_fence);
    let mut kept = insert_fresh(&transaction, &fresh).await?;
    for new_order in over_fences {
        if take_fence(&transaction, new_order).await? {
            kept.insert(new_order.order.id);
        }
    }
    sorted.retain(|new_order| kept.contains(&new_order.order.id));
    insert_lines(&transaction, &sorted).await?;
    insert_events(&transaction, &sorted).await?;
    transaction.commit().await?;
    Ok(kept)
}

async fn insert_fresh(
    transaction: &impl ConnectionTrait,
    fresh: &[&NewOrder],
) -> Result<HashSet<OrderId>, StoreError> {
    let mut rows = Vec::with_capacity(fresh.len());
    for new_order in fresh {
        rows.push(order::ActiveModel { id: Set(new_order.order.id.0), ..new_order.columns()? });
    }
    let inserted = order::Entity::insert_many(rows)
        .on_conflict_do_nothing()
        .exec_with_returning_keys(transaction)
        .await?;
    match inserted {
        TryInsertResult::Inserted(ids) => Ok(ids.into_iter().map(OrderId).collect()),
        TryInsertResult::Empty | TryInsertResult::Conflicted => Ok(HashSet::new()),
    }
}

async fn take_fence(transaction: &impl ConnectionTrait, new_order: &NewOrder) -> Result<bool, StoreError> {
    let taken = order::Entity::update_many()
        .set(new_order.columns()?)
        .filter(order::Column::Id.eq(new_order.order.id.0))
        .filter(Expr::col(order::Column::Fenced))
        .filter(order::Column::Attempt.lt(i64::from(new_order.attempt)))
        .exec(transaction)
        .await?;
    Ok(taken.rows_affected > 0)
}

async fn insert_lines(transaction: &impl ConnectionTrait, new_orders: &[&NewOrder]) -> Result<(), DbErr> {
    let lines: Vec<_> = new_orders.iter().flat_map(|new_order| line_columns(&new_order.order)).collect();
    for some in lines.chunks(LINES_AT_ONCE) {
        line_item::Entity::insert_many(some.to_vec()).exec_without_returning(transaction).await?;
    }
    Ok(())
}

async fn insert_events(
    transaction: &impl ConnectionTrait,
    new_orders: &[&NewOrder],
) -> Result<(), StoreError> {
    let mut rows = Vec::with_capacity(new_orders.len());
    for new_order in new_orders {
        rows.push(new_order.event().columns()?);
    }
    order_event::Entity::insert_many(rows).exec_without_returning(transaction).await?;
    Ok(())
}
