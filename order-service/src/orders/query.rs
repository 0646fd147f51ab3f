//! Reads orders with their line items.

use std::collections::HashMap;
use std::fmt::Display;
use std::str::FromStr;

use schema::ids::OrderId;
use schema::money::{Currency, Money};
use schema::order::{LineItem, Order};
use schema::time::Timestamp;
use sea_orm::sea_query::{Condition, Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _, QueryTrait,
};
use serde::de::DeserializeOwned;
use store::bulk::is_any;
use store::{StoreError, for_update};
use uuid::Uuid;

use crate::tables::{line_item, order};

/// A row of the orders table with its line items: an order, a deleted order or a fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OrderRow {
    pub(crate) order: Order,
    pub(crate) attempt: u32,
    pub(crate) created_by: Uuid,
    pub(crate) deleted: bool,
    pub(crate) pending_since: Option<Timestamp>,
    pub(crate) tries: u32,
}

impl OrderRow {
    /// Whether the row is a fence: it says that no order comes of the attempts so far.
    pub(crate) fn is_fence(&self) -> bool {
        self.order.version == 0
    }

    fn from_row(row: order::Model, lines: Vec<line_item::Model>) -> Result<Self, StoreError> {
        let currency: Option<Currency> = row.currency.map(parse).transpose()?;
        let money = |amount_minor: Option<i64>| match (amount_minor, currency) {
            (Some(amount_minor), Some(currency)) => Some(Money { amount_minor, currency }),
            _ => None,
        };
        let line = |line: line_item::Model| {
            Ok(LineItem {
                id: line.id,
                product_id: parse(line.product_id)?,
                product_name: line.product_name,
                quantity: to_u32(line.quantity)?,
                unit_price: money(line.unit_price),
            })
        };
        let order = Order {
            id: OrderId(row.id),
            customer_id: parse(row.customer_id)?,
            status: parse(row.status)?,
            version: to_u32(row.version)?,
            fingerprint: row.fingerprint,
            line_items: lines.into_iter().map(line).collect::<Result<_, StoreError>>()?,
            total_amount: money(row.total_amount),
            shipping_address: row.shipping_address,
            tracking_company: row.tracking_company,
            tracking_number: row.tracking_number,
            rejection: row.rejection.map(from_json).transpose()?,
            created_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
        };
        Ok(Self {
            order,
            attempt: to_u32(row.attempt)?,
            created_by: row.created_by,
            deleted: row.deleted_at.is_some(),
            pending_since: row.pending_since.map(Into::into),
            tries: to_u32(row.tries)?,
        })
    }
}

/// The condition that a row is neither a deleted order nor a fence. Word for word the predicate of the partial indexes,
/// without parameters, so that PostgreSQL can tell that they apply.
pub(crate) fn readable() -> Condition {
    Condition::all()
        .add(order::Column::DeletedAt.is_null())
        .add(Expr::col((order::Entity, order::Column::Fenced)).not())
}

/// Returns the rows of these ids, deleted orders and fences included.
pub(crate) async fn find(
    connection: &impl ConnectionTrait,
    ids: impl IntoIterator<Item = OrderId>,
) -> Result<HashMap<OrderId, OrderRow>, StoreError> {
    let ids: Vec<Uuid> = ids.into_iter().map(|id| id.0).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let wanted = is_any(connection.get_database_backend(), order::Column::Id, ids);
    let rows = order::Entity::find().filter(wanted).all(connection).await?;
    let rows = with_lines(connection, rows).await?;
    Ok(rows.into_iter().map(|row| (row.order.id, row)).collect())
}

/// Returns the row of this id, locked until the transaction ends.
pub(crate) async fn lock(
    transaction: &impl ConnectionTrait,
    id: OrderId,
) -> Result<Option<OrderRow>, StoreError> {
    let mut select = order::Entity::find_by_id(id.0);
    for_update(transaction.get_database_backend(), QueryTrait::query(&mut select));
    let Some(row) = select.one(transaction).await? else { return Ok(None) };
    Ok(with_lines(transaction, vec![row]).await?.pop())
}

/// Reads the line items of these rows; the result has the order of `rows`.
pub(crate) async fn with_lines(
    connection: &impl ConnectionTrait,
    rows: Vec<order::Model>,
) -> Result<Vec<OrderRow>, StoreError> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let ids = rows.iter().map(|row| row.id);
    let lines = line_item::Entity::find()
        .filter(is_any(connection.get_database_backend(), line_item::Column::OrderId, ids))
        .order_by_asc(line_item::Column::OrderId)
        .order_by_asc(line_item::Column::Position)
        .all(connection)
        .await?;
    let mut by_order: HashMap<Uuid, Vec<line_item::Model>> = HashMap::new();
    for line in lines {
        by_order.entry(line.order_id).or_default().push(line);
    }
    let with_lines = |row: order::Model| {
        let lines = by_order.remove(&row.id).unwrap_or_default();
        OrderRow::from_row(row, lines)
    };
    rows.into_iter().map(with_lines).collect()
}

/// Parses a stored id, status or currency.
pub(crate) fn parse<T: FromStr<Err: Display>>(text: String) -> Result<T, StoreError> {
    text.parse().map_err(|error| StoreError::Data(format!("stored {text:?}: {error}")))
}

/// Converts a stored count.
pub(super) fn to_u32(value: i64) -> Result<u32, StoreError> {
    u32::try_from(value).map_err(|error| StoreError::Data(format!("stored {value}: {error}")))
}

pub(super) fn from_json<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, StoreError> {
    serde_json::from_value(value).map_err(|error| StoreError::Data(error.to_string()))
}
