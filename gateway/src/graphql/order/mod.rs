//! Orders as clients see them.

mod connection;
mod history;
mod line_item;
mod rejection;
mod status;

use async_graphql::{Context, ID, Object};
use schema::cursor::UpdateCursor;
use schema::order as wire;
use std::sync::Arc;

pub(crate) use connection::{OrderConnection, list_orders};
pub(crate) use history::OrderHistoryEntry;
pub(crate) use line_item::OrderLineItem;
pub(crate) use rejection::OrderRejection;
pub(crate) use status::{OrderStatus, OrderUpdateKind};

use super::customer::Customer;
use super::loading::Loaders;
use super::money::Money;
use super::nullable::{Nullable, nullable};
use super::scalars::{DateTime, int};

/// What an order needs to show of itself is at hand; only `customer`, `history` and a line's `product` ask elsewhere.
#[derive(Clone)]
pub(crate) struct Order(Arc<wire::Order>);

impl From<Arc<wire::Order>> for Order {
    fn from(order: Arc<wire::Order>) -> Self {
        Self(order)
    }
}

impl From<wire::Order> for Order {
    fn from(order: wire::Order) -> Self {
        Self(Arc::new(order))
    }
}

#[Object]
impl Order {
    fn id(&self) -> ID {
        ID::from(self.0.id)
    }

    fn status(&self) -> OrderStatus {
        self.0.status.into()
    }

    fn customer_id(&self) -> ID {
        ID::from(&self.0.customer_id)
    }

    async fn customer(&self, ctx: &Context<'_>) -> Nullable<Customer> {
        nullable(async {
            let id = self.0.customer_id.clone();
            let found = ctx.data_unchecked::<Loaders>().customer(id.clone()).await?;
            Ok(Some(found.map_or_else(|| Customer::unknown(id), Customer::from)))
        })
        .await
    }

    fn line_items(&self) -> Vec<OrderLineItem> {
        OrderLineItem::all_of(&self.0)
    }

    /// Null while PENDING, and where an unknown product made it impossible to price.
    fn total_amount(&self) -> Option<Money> {
        self.0.total_amount.map(Money::from)
    }

    /// Null only while PENDING with the customer's own address still to be looked up.
    fn shipping_address(&self) -> Option<&str> {
        self.0.shipping_address.as_deref()
    }

    fn tracking_company(&self) -> Option<&str> {
        self.0.tracking_company.as_deref()
    }

    fn tracking_number(&self) -> Option<&str> {
        self.0.tracking_number.as_deref()
    }

    /// Why it was refused; set exactly where status is REJECTED.
    fn rejection(&self) -> Option<OrderRejection> {
        self.0.rejection.as_ref().map(OrderRejection::from)
    }

    /// Counts the changes of this order, from 1; 0 in an answer given before the order service's.
    fn version(&self) -> i32 {
        int(self.0.version)
    }

    /// Pass it as `after` to orderUpdated to get everything that follows this version.
    fn cursor(&self) -> String {
        UpdateCursor { order_id: self.0.id, version: self.0.version }.encode()
    }

    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }

    /// Every change so far, oldest first.
    async fn history(&self, ctx: &Context<'_>) -> Nullable<Vec<OrderHistoryEntry>> {
        nullable(async {
            let entries = ctx.data_unchecked::<Loaders>().history(&self.0).await?;
            Ok(Some(OrderHistoryEntry::all_of(self.0.id, &entries)))
        })
        .await
    }
}
