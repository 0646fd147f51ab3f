//! Inserts new orders with their line items and first events, once per order id.

use std::collections::HashSet;

use schema::ids::OrderId;
use schema::order::{Order, OrderStatus};
use schema::order_events::EventKind;
use schema::time::Timestamp;
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, TryInsertResult};
use store::{Database, StoreError};
use uuid::Uuid;

use super::events::{NewEvent, to_json};
use super::query::OrderRow;
use crate::domain::Changed;
use crate::tables::{line_item, order, order_event};

/// Line items of one statement: seven parameters each, of the 32,766 that SQLite takes.
pub(super) const LINES_PER_STATEMENT: usize = 4_000;

/// An order to be inserted.
#[derive(Debug, Clone)]
pub(crate) struct NewOrder {
    pub(crate) order: Order,
    /// The attempt that stock was, or is to be, reserved under.
    pub(crate) attempt: u32,
    /// The id of the `order.create` message.
    pub(crate) created_by: Uuid,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) traceparent: Option<String>,
    /// The id of the first event's message.
    pub(crate) event_id: Uuid,
    /// Whether a fence has the order's id: the order takes that row's place if its attempt is a later one.
    pub(crate) over_fence: bool,
    /// By the database's clock: the start of PENDING, if the order is.
    pub(crate) now: Timestamp,
}

impl NewOrder {
    /// Returns the row as a query would read it.
    pub(crate) fn to_row(&self) -> OrderRow {
        OrderRow {
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
            ..order_columns(&self.order)?
        })
    }

    fn event_columns(&self) -> Result<order_event::ActiveModel, StoreError> {
        let changed = Changed { order: self.order.clone(), kind: EventKind::Created, previous_status: None };
        let traceparent = self.traceparent.clone();
        NewEvent { id: self.event_id, changed, request_id: None, traceparent }.columns()
    }
}

/// Inserts these orders in one transaction, and returns the ids of those that were inserted: an order is left out if
/// another copy has stored its id in the meantime, or fenced it with this attempt or a later one.
///
/// Orders are inserted by ascending id, so that two batches cannot deadlock.
pub(crate) async fn insert(
    database: &Database,
    new_orders: &[NewOrder],
) -> Result<HashSet<OrderId>, StoreError> {
    let mut sorted: Vec<&NewOrder> = new_orders.iter().collect();
    sorted.sort_by_key(|new_order| new_order.order.id);
    let transaction = database.begin().await?;
    let (over_fences, fresh): (Vec<_>, Vec<_>) =
        sorted.iter().copied().partition(|new_order| new_order.over_fence);
    let mut inserted = insert_fresh(&transaction, &fresh).await?;
    for new_order in over_fences {
        if replace_fence(&transaction, new_order).await? {
            inserted.insert(new_order.order.id);
        }
    }
    sorted.retain(|new_order| inserted.contains(&new_order.order.id));
    let lines: Vec<_> = sorted.iter().flat_map(|new_order| line_columns(&new_order.order)).collect();
    for lines in lines.chunks(LINES_PER_STATEMENT) {
        line_item::Entity::insert_many(lines.to_vec()).exec_without_returning(&transaction).await?;
    }
    let events: Vec<_> =
        sorted.iter().map(|new_order| new_order.event_columns()).collect::<Result<_, StoreError>>()?;
    order_event::Entity::insert_many(events).exec_without_returning(&transaction).await?;
    transaction.commit().await?;
    Ok(inserted)
}

async fn insert_fresh(
    transaction: &impl ConnectionTrait,
    fresh: &[&NewOrder],
) -> Result<HashSet<OrderId>, StoreError> {
    let row = |new_order: &&NewOrder| {
        Ok(order::ActiveModel { id: Set(new_order.order.id.0), ..new_order.columns()? })
    };
    let rows: Vec<_> = fresh.iter().map(row).collect::<Result<_, StoreError>>()?;
    let inserted = order::Entity::insert_many(rows)
        .on_conflict_do_nothing()
        .exec_with_returning_keys(transaction)
        .await?;
    match inserted {
        TryInsertResult::Inserted(ids) => Ok(ids.into_iter().map(OrderId).collect()),
        TryInsertResult::Empty | TryInsertResult::Conflicted => Ok(HashSet::new()),
    }
}

/// Returns whether the order has taken the fence's row.
async fn replace_fence(transaction: &impl ConnectionTrait, new_order: &NewOrder) -> Result<bool, StoreError> {
    let replaced = order::Entity::update_many()
        .set(new_order.columns()?)
        .filter(order::Column::Id.eq(new_order.order.id.0))
        .filter(Expr::col(order::Column::Fenced))
        .filter(order::Column::Attempt.lt(i64::from(new_order.attempt)))
        .exec(transaction)
        .await?;
    Ok(replaced.rows_affected > 0)
}

/// The columns that a change of the order sets; the others stay as they are.
pub(super) fn order_columns(order: &Order) -> Result<order::ActiveModel, StoreError> {
    Ok(order::ActiveModel {
        id: NotSet,
        customer_id: Set(order.customer_id.to_string()),
        status: Set(order.status.to_string()),
        version: Set(order.version.into()),
        fingerprint: Set(order.fingerprint.clone()),
        total_amount: Set(order.total_amount.map(|total| total.amount_minor)),
        currency: Set(order.total_amount.map(|total| total.currency.to_string())),
        shipping_address: Set(order.shipping_address.clone()),
        tracking_company: Set(order.tracking_company.clone()),
        tracking_number: Set(order.tracking_number.clone()),
        rejection: Set(order.rejection.as_ref().map(to_json).transpose()?),
        updated_at: Set(order.updated_at.to_utc()),
        ..Default::default()
    })
}

pub(super) fn line_columns(order: &Order) -> impl Iterator<Item = line_item::ActiveModel> + '_ {
    (0..).zip(&order.line_items).map(|(position, line)| line_item::ActiveModel {
        id: Set(line.id),
        order_id: Set(order.id.0),
        position: Set(position),
        product_id: Set(line.product_id.to_string()),
        product_name: Set(line.product_name.clone()),
        quantity: Set(line.quantity.into()),
        unit_price: Set(line.unit_price.map(|price| price.amount_minor)),
    })
}
