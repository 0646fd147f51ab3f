//! `order.settle`: the state of orders that stock is held for. If there is no order, a fence is committed under its id:
//! a row that says that no order comes of the attempts so far.

use std::collections::HashMap;

use schema::ids::OrderId;
use schema::order::OrderStatus;
use schema::order_messages::{Settle, Settled};
use schema::time::Timestamp;
use sea_orm::ActiveValue::Set;
use sea_orm::EntityTrait as _;
use sea_orm::sea_query::{Expr, OnConflict};
use store::{Database, StoreError, retrying};
use uuid::Uuid;

use crate::context::Context;
use crate::orders::{OrderRow, find};
use crate::tables::order;

/// How often an id is read again because it changed between reading and fencing.
const ROUNDS: u32 = 5;
/// The customer of a fence: a stored id has at least one character.
const NO_CUSTOMER: &str = "-";

/// Returns each order's state, or that none comes of the attempt in question: a stalled copy that is still placing the
/// order finds the fence, which is committed before this answer.
pub(super) async fn settle(context: &Context, requests: Vec<Settle>) -> Result<Vec<Settled>, StoreError> {
    let database = &context.database;
    for _ in 0..ROUNDS {
        let rows = find(database.read(), requests.iter().map(|request| request.order_id)).await?;
        let settled: Option<Vec<Settled>> = requests.iter().map(|request| settled(&rows, request)).collect();
        if let Some(settled) = settled {
            return Ok(settled);
        }
        let now = context.clock.now();
        for request in requests.iter().filter(|request| self::settled(&rows, request).is_none()) {
            retrying(|| fence(database, request, now)).await?;
        }
    }
    Err(StoreError::Contention("orders change while they are being settled".to_owned()))
}

/// Returns the answer of the rows; `None` if the attempt must be fenced first.
fn settled(rows: &HashMap<OrderId, OrderRow>, request: &Settle) -> Option<Settled> {
    let row = rows.get(&request.order_id)?;
    if row.is_fence() {
        return (row.attempt >= request.attempt).then_some(Settled::Void);
    }
    let order = &row.order;
    Some(Settled::Order { status: order.status, version: order.version, deleted: row.deleted })
}

/// Commits a fence for this attempt if there is no order, or raises the fence that there is. An order, deleted or not, is
/// left alone.
///
/// Fence and order share the primary key: the one that commits first wins, and the other transaction sees it.
async fn fence(database: &Database, request: &Settle, now: Timestamp) -> Result<(), StoreError> {
    let row = order::ActiveModel {
        id: Set(request.order_id.0),
        customer_id: Set(NO_CUSTOMER.to_owned()),
        status: Set(OrderStatus::Pending.to_string()),
        version: Set(0),
        fingerprint: Set(String::new()),
        attempt: Set(request.attempt.into()),
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
