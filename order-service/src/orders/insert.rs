//! Inserts new orders with their line items and first events, once per order id.

mod postgres;

use std::collections::HashSet;

use schema::ids::OrderId;
use schema::order::{Order, OrderStatus};
use schema::order_events::EventKind;
use schema::time::Timestamp;
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DbBackend, EntityTrait as _, QueryFilter as _, TryInsertResult,
};
use store::{Database, StoreError};
use uuid::Uuid;

use self::postgres::insert_postgres;
use super::events::{EVENTS, NewEvent, to_json};
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

    pub(super) fn columns(&self) -> Result<order::ActiveModel, StoreError> {
        let pending_since = Set(self.pending_since().map(Timestamp::to_utc));
        Ok(order::ActiveModel {
            id: Set(self.order.id.0),
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

    pub(super) fn event_columns(&self) -> Result<order_event::ActiveModel, StoreError> {
        let changed = Changed { order: self.order.clone(), kind: EventKind::Created, previous_status: None };
        let traceparent = self.traceparent.clone();
        NewEvent { id: self.event_id, changed, request_id: None, traceparent }.columns()
    }
}

/// Inserts these orders in one transaction, and returns the ids of those that were inserted: an order is left out if
/// another copy has stored its id in the meantime, or fenced it with this attempt or a later one.
///
/// Orders are inserted by ascending id, so that two batches cannot deadlock. Their events get their positions at once if no
/// committed event waits for one, which they would overtake. The counter's row, the last that is locked, is held until the
/// commit, so that positions become visible in order and without holes.
pub(crate) async fn insert(
    database: &Database,
    new_orders: &[NewOrder],
) -> Result<HashSet<OrderId>, StoreError> {
    let mut sorted: Vec<&NewOrder> = new_orders.iter().collect();
    sorted.sort_by_key(|new_order| new_order.order.id);
    let is_postgres = database.backend() == DbBackend::Postgres;
    if is_postgres && !sorted.iter().any(|new_order| new_order.over_fence) {
        return insert_postgres(database.write(), &sorted, &HashSet::new()).await;
    }
    let transaction = database.begin().await?;
    let mut replaced = HashSet::new();
    for new_order in sorted.iter().filter(|new_order| new_order.over_fence) {
        if replace_fence(&transaction, new_order).await? {
            replaced.insert(new_order.order.id);
        }
    }
    let inserted = if is_postgres {
        insert_postgres(&transaction, &sorted, &replaced).await?
    } else {
        insert_sqlite(&transaction, &sorted, replaced).await?
    };
    transaction.commit().await?;
    Ok(inserted)
}

/// Inserts the orders that replace no fence, and line items and events of those that were inserted or have `replaced` one:
/// several statements, which on SQLite cost no round trips.
async fn insert_sqlite(
    transaction: &impl ConnectionTrait,
    sorted: &[&NewOrder],
    replaced: HashSet<OrderId>,
) -> Result<HashSet<OrderId>, StoreError> {
    let fresh: Vec<_> = sorted
        .iter()
        .filter(|new_order| !new_order.over_fence)
        .map(|new_order| new_order.columns())
        .collect::<Result<_, _>>()?;
    let result = order::Entity::insert_many(fresh)
        .on_conflict_do_nothing()
        .exec_with_returning_keys(transaction)
        .await?;
    let mut inserted = replaced;
    if let TryInsertResult::Inserted(ids) = result {
        inserted.extend(ids.into_iter().map(OrderId));
    }
    if inserted.is_empty() {
        return Ok(inserted);
    }
    let stored = || sorted.iter().filter(|new_order| inserted.contains(&new_order.order.id));
    let lines: Vec<_> = stored().flat_map(|new_order| line_columns(&new_order.order)).collect();
    for lines in lines.chunks(LINES_PER_STATEMENT) {
        line_item::Entity::insert_many(lines.to_vec()).exec_without_returning(transaction).await?;
    }
    let positions = EVENTS.take_positions(transaction, inserted.len()).await?;
    let positions = positions.into_iter().flatten().map(Some).chain(std::iter::repeat(None));
    let events: Vec<_> = stored()
        .zip(positions)
        .map(|(new_order, position)| {
            let columns = new_order.event_columns()?;
            Ok(order_event::ActiveModel { position: Set(position), ..columns })
        })
        .collect::<Result<_, StoreError>>()?;
    order_event::Entity::insert_many(events).exec_without_returning(transaction).await?;
    Ok(inserted)
}

/// Returns whether the order has taken the fence's row.
async fn replace_fence(transaction: &impl ConnectionTrait, new_order: &NewOrder) -> Result<bool, StoreError> {
    let replaced = order::Entity::update_many()
        .set(order::ActiveModel { id: NotSet, ..new_order.columns()? })
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
