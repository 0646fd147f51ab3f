//! Rows to orders and back.

use schema::ids::OrderId;
use schema::money::{Currency, Money};
use schema::order::{LineItem, Order};
use schema::time::Timestamp;
use sea_orm::ActiveValue::{NotSet, Set};
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::StoreError;
use uuid::Uuid;

use crate::tables::{line_item, order};

/// A row of the orders table with its lines, deleted ones and fences included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) order: Order,
    pub(crate) attempt: u32,
    pub(crate) created_by: Uuid,
    pub(crate) deleted: bool,
    pub(crate) pending_since: Option<Timestamp>,
    pub(crate) tries: u32,
}

impl Stored {
    /// Whether it is no order, but says that none comes of the attempts so far.
    pub(crate) fn is_fence(&self) -> bool {
        self.order.version == 0
    }

    pub(super) fn of(row: order::Model, lines: Vec<line_item::Model>) -> Result<Self, StoreError> {
        let currency: Option<Currency> = row.currency.map(read).transpose()?;
        let money = |amount_minor: Option<i64>| match (amount_minor, currency) {
            (Some(amount_minor), Some(currency)) => Some(Money { amount_minor, currency }),
            _ => None,
        };
        let line = |line: line_item::Model| {
            Ok(LineItem {
                id: line.id,
                product_id: read(line.product_id)?,
                product_name: line.product_name,
                quantity: number(line.quantity)?,
                unit_price: money(line.unit_price),
            })
        };
        let order = Order {
            id: OrderId(row.id),
            customer_id: read(row.customer_id)?,
            status: read(row.status)?,
            version: number(row.version)?,
            fingerprint: row.fingerprint,
            line_items: lines.into_iter().map(line).collect::<Result<_, StoreError>>()?,
            total_amount: money(row.total_amount),
            shipping_address: row.shipping_address,
            tracking_company: row.tracking_company,
            tracking_number: row.tracking_number,
            rejection: row.rejection.map(from_json).transpose()?,
            created_at: timestamp(row.created_at),
            updated_at: timestamp(row.updated_at),
        };
        Ok(Self {
            order,
            attempt: number(row.attempt)?,
            created_by: row.created_by,
            deleted: row.deleted_at.is_some(),
            pending_since: row.pending_since.map(timestamp),
            tries: number(row.tries)?,
        })
    }
}

/// The columns of an order's row that its changes set; the others stay as they are.
pub(super) fn columns(order: &Order) -> Result<order::ActiveModel, StoreError> {
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

/// A time of the database.
pub(crate) fn timestamp(time: chrono::DateTime<chrono::Utc>) -> Timestamp {
    time.into()
}

/// A text that was an id, a status or a currency when it was stored.
pub(crate) fn read<T: std::str::FromStr<Err: std::fmt::Display>>(text: String) -> Result<T, StoreError> {
    text.parse().map_err(|error| StoreError::Data(format!("stored {text:?}: {error}")))
}

/// A count that was a `u32` when it was stored.
pub(super) fn number(value: i64) -> Result<u32, StoreError> {
    u32::try_from(value).map_err(|error| StoreError::Data(format!("stored {value}: {error}")))
}

pub(super) fn to_json<T: Serialize>(value: &T) -> Result<serde_json::Value, StoreError> {
    serde_json::to_value(value).map_err(|error| StoreError::Data(error.to_string()))
}

pub(super) fn from_json<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, StoreError> {
    serde_json::from_value(value).map_err(|error| StoreError::Data(error.to_string()))
}
