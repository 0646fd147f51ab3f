//! Fences: rows that are no orders, and say that none comes of the attempts so far.

use schema::order::OrderStatus;
use schema::order_messages::Settle;
use schema::time::Timestamp;
use sea_orm::ActiveValue::Set;
use sea_orm::EntityTrait as _;
use sea_orm::sea_query::{Expr, OnConflict};
use store::{Database, StoreError};
use uuid::Uuid;

use crate::tables::order;

/// What a fence has where an order has its customer: ids have at least one character.
const NOBODY: &str = "-";

/// Commits a fence for this attempt where there is no order, or raises the one that there is. An order, deleted or
/// not, is left alone.
///
/// Fence and order share the primary key: whoever commits first wins, and the other one sees it.
pub(crate) async fn fence(database: &Database, settle: &Settle, now: Timestamp) -> Result<(), StoreError> {
    let row = order::ActiveModel {
        id: Set(settle.order_id.0),
        customer_id: Set(NOBODY.to_owned()),
        status: Set(OrderStatus::Pending.to_string()),
        version: Set(0),
        fingerprint: Set(String::new()),
        attempt: Set(settle.attempt.into()),
        created_by: Set(Uuid::nil()),
        created_at: Set(now.to_utc()),
        updated_at: Set(now.to_utc()),
        fenced: Set(true),
        tries: Set(0),
        ..Default::default()
    };
    let raised = OnConflict::column(order::Column::Id)
        .update_column(order::Column::Attempt)
        .action_and_where(Expr::cust("orders.fenced AND orders.attempt < excluded.attempt"))
        .to_owned();
    order::Entity::insert(row).on_conflict(raised).exec_without_returning(database.write()).await?;
    Ok(())
}
