//! Orders as clients see them, with their lines, their history and their pages, and the orders of a customer.

use async_graphql::{ComplexObject, Context, Enum, ID, Object, SimpleObject};
use schema::cursor::{OrderCursor, UpdateCursor};
use schema::order_messages::{HistoryEntry, ListOrders, OrderFilter, OrderRef, OrderScope};
use schema::{ids::OrderId, order as wire, page::Page};
use std::{collections::BTreeSet, sync::Arc};

use super::customer::Customer;
use super::errors::{Nullable, list_error, nullable};
use super::loaders::{HistoryOf, Loaders};
use super::page::{Connection, page};
use super::product::Product;
use super::scalars::{DateTime, Money, int};
use crate::auth::{Scope, Viewer};
use crate::query::GraphqlError;

// Its own fields are at hand; only `customer`, `history` and a line's `product` need other requests.
#[derive(Clone)]
pub(crate) struct Order(pub(super) Arc<wire::Order>);

impl From<wire::Order> for Order {
    fn from(order: wire::Order) -> Self {
        Self(Arc::new(order))
    }
}

impl Order {
    /// The order with this id within the caller's reach.
    pub(crate) async fn find(ctx: &Context<'_>, id: &ID) -> Result<Option<Self>, GraphqlError> {
        let viewer = Viewer::from_context(ctx)?;
        viewer.require(Scope::OrdersRead)?;
        let Ok(order_id) = id.parse() else { return Ok(None) };
        let order = OrderRef { order_id, owner: viewer.order_scope() };
        Ok(ctx.data_unchecked::<Loaders>().load(order).await?.map(Self))
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
            let found = ctx.data_unchecked::<Loaders>().load(id.clone()).await?;
            Ok(Some(found.map_or_else(|| Customer::unknown(id), Customer::from)))
        })
        .await
    }

    fn line_items(&self) -> Vec<OrderLineItem> {
        let line = |index| OrderLineItem { order: Arc::clone(&self.0), index };
        (0..self.0.line_items.len()).map(line).collect()
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
            let owner = OrderScope::Customer { customer_id: self.0.customer_id.clone() };
            let history = HistoryOf(OrderRef { order_id: self.0.id, owner });
            let entries = ctx.data_unchecked::<Loaders>().load(history).await?;
            Ok(Some(entries.iter().map(|entry| OrderHistoryEntry::new(self.0.id, entry)).collect()))
        })
        .await
    }
}

#[derive(Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "schema::order::OrderStatus")]
pub(crate) enum OrderStatus {
    /// Accepted and durable; not yet checked against inventory and customer.
    Pending,
    /// Stock reserved, priced, being prepared.
    Processing,
    Shipped,
    Delivered,
    Cancelled,
    /// Refused; see rejection.
    Rejected,
}

#[derive(Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "schema::order_events::EventKind")]
pub(crate) enum OrderUpdateKind {
    Created,
    StatusChanged,
    DetailsChanged,
    Deleted,
}

// One line of an order, which it shares.
pub(crate) struct OrderLineItem {
    order: Arc<wire::Order>,
    index: usize,
}

impl OrderLineItem {
    fn line(&self) -> &wire::LineItem {
        &self.order.line_items[self.index]
    }
}

#[Object]
impl OrderLineItem {
    /// Derived from the order and the product; never changes.
    fn id(&self) -> ID {
        ID::from(self.line().id)
    }

    fn product_id(&self) -> ID {
        ID::from(&self.line().product_id)
    }

    /// The product as the catalogue has it now; null where it left the catalogue.
    async fn product(&self, ctx: &Context<'_>) -> Nullable<Product> {
        nullable(async {
            let product_id = self.line().product_id.clone();
            Ok(ctx.data_unchecked::<Loaders>().load(product_id).await?.map(Product))
        })
        .await
    }

    /// The product's name when it was ordered.
    fn product_name(&self) -> Option<&str> {
        self.line().product_name.as_deref()
    }

    fn quantity(&self) -> i32 {
        int(self.line().quantity)
    }

    /// The price when it was ordered.
    fn unit_price(&self) -> Option<Money> {
        self.line().unit_price.map(Money::from)
    }

    fn total_price(&self) -> Option<Money> {
        let line = self.line();
        line.unit_price?.times(line.quantity).map(Money::from)
    }
}

#[derive(SimpleObject)]
pub(crate) struct OrderRejection {
    code: OrderRejectionCode,
    message: String,
    shortfalls: Vec<StockShortfall>,
}

#[derive(Enum, Copy, Clone, PartialEq, Eq)]
#[graphql(remote = "schema::order::RejectionCode")]
pub(crate) enum OrderRejectionCode {
    OutOfStock,
    UnknownProduct,
    UnknownCustomer,
    Expired,
}

#[derive(SimpleObject)]
pub(crate) struct StockShortfall {
    product_id: ID,
    requested: i32,
    available: i32,
}

impl From<&wire::Rejection> for OrderRejection {
    fn from(rejection: &wire::Rejection) -> Self {
        let shortfall = |shortfall: &wire::Shortfall| StockShortfall {
            product_id: ID::from(&shortfall.product_id),
            requested: int(shortfall.requested),
            available: int(shortfall.available),
        };
        Self {
            code: rejection.code.into(),
            message: rejection.message.clone(),
            shortfalls: rejection.shortfalls.iter().map(shortfall).collect(),
        }
    }
}

#[derive(SimpleObject)]
pub(crate) struct OrderHistoryEntry {
    cursor: String,
    kind: OrderUpdateKind,
    version: i32,
    status: OrderStatus,
    previous_status: Option<OrderStatus>,
    occurred_at: DateTime,
}

impl OrderHistoryEntry {
    fn new(order_id: OrderId, entry: &HistoryEntry) -> Self {
        Self {
            cursor: UpdateCursor { order_id, version: entry.version }.encode(),
            kind: entry.kind.into(),
            version: int(entry.version),
            status: entry.status.into(),
            previous_status: entry.previous_status.map(OrderStatus::from),
            occurred_at: DateTime(entry.occurred_at),
        }
    }
}

/// A page of the orders in this scope, which the caller has.
pub(crate) async fn list_orders(
    ctx: &Context<'_>,
    owner: OrderScope,
    filter: OrderFilter,
    page: Page,
) -> Result<Connection<Order>, GraphqlError> {
    let list = ListOrders { owner, filter, page };
    list.bounds().map_err(|error| list_error(&error))?;
    let list = ctx.data_unchecked::<Loaders>().load(list).await?.0?;
    let nodes = list.rows.iter().cloned().map(Order).collect();
    Ok(Connection::new(nodes, order_cursor, list.has_next_page, list.has_previous_page))
}

/// The statuses of an argument as a message names them: each once, however long the argument is.
pub(crate) fn distinct(statuses: Vec<OrderStatus>) -> Vec<wire::OrderStatus> {
    let distinct: BTreeSet<_> = statuses.into_iter().map(wire::OrderStatus::from).collect();
    distinct.into_iter().collect()
}

fn order_cursor(Order(order): &Order) -> String {
    let (created_at, order_id, customer_id) = (order.created_at, order.id, order.customer_id.clone());
    OrderCursor { created_at, order_id, customer_id }.encode()
}

#[ComplexObject]
impl Customer {
    async fn orders(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
        statuses: Option<Vec<OrderStatus>>,
    ) -> Nullable<Connection<Order>> {
        let listed = async {
            let viewer = Viewer::from_context(ctx)?;
            viewer.require(Scope::OrdersRead)?;
            let owner = viewer.named_scope(Some(self.id.as_str()), false)?;
            let filter = OrderFilter { statuses: statuses.map(distinct), ..OrderFilter::default() };
            list_orders(ctx, owner, filter, page(first, after, last, before)).await
        };
        Some(listed.await)
    }
}
