use async_graphql::{Context, ID, Object};
use schema::ids::ProductId;
use schema::inventory_messages::{ListProducts, ProductPage};
use schema::order_messages::OrderFilter;
use schema::{domain_error::DomainResult, pattern::INVENTORY_LIST};

use super::customer::Customer;
use super::errors::{Nullable, list_error, nullable, query_error};
use super::loaders::Loaders;
use super::node::Node;
use super::order::{Order, OrderStatus, distinct, list_orders};
use super::page::{Connection, page};
use super::product::Product;
use super::scalars::DateTime;
use crate::auth::{Scope, Viewer};
use crate::query::{ErrorCode, GraphqlError};

pub(crate) struct Query;

#[Object]
impl Query {
    /// What has this id within the caller's reach: an order, a product or a customer; null where nothing has. An order's id is
    /// a UUID; where a product and a customer have the same id, this is BAD_USER_INPUT.
    async fn node(&self, ctx: &Context<'_>, id: ID) -> Nullable<Node> {
        nullable(Node::find(ctx, &id)).await
    }

    /// The signed-in customer.
    async fn me(&self, ctx: &Context<'_>) -> Nullable<Customer> {
        nullable(async { Customer::load(ctx, Viewer::from_context(ctx)?.customer_id.clone()).await }).await
    }

    /// Oneself, or with orders:all anybody; FORBIDDEN otherwise.
    async fn customer(&self, ctx: &Context<'_>, id: ID) -> Nullable<Customer> {
        nullable(Customer::find(ctx, &id)).await
    }

    /// An order within the caller's reach; null where there is none with this id, one beyond reach included.
    async fn order(&self, ctx: &Context<'_>, id: ID) -> Nullable<Order> {
        nullable(Order::find(ctx, &id)).await
    }

    /// Orders, newest first: one's own, or with orders:all those of customerId or of all customers (not both). Relay connection:
    /// first or last (not both), 1 to 100, 20 if neither is given. statuses, productId, trackingNumber and the times of placing
    /// (from inclusive, before exclusive) narrow; an empty list of statuses matches nothing.
    #[expect(clippy::too_many_arguments, reason = "the arguments of the contract")]
    async fn orders(
        &self,
        ctx: &Context<'_>,
        customer_id: Option<ID>,
        #[graphql(default = false)] all_customers: bool,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
        statuses: Option<Vec<OrderStatus>>,
        product_id: Option<ID>,
        tracking_number: Option<String>,
        placed_from: Option<DateTime>,
        placed_before: Option<DateTime>,
    ) -> Nullable<Connection<Order>> {
        nullable(async {
            let viewer = Viewer::from_context(ctx)?;
            viewer.require(Scope::OrdersRead)?;
            let customer_id = customer_id.as_ref().map(|id| id.as_str());
            let owner = viewer.named_scope(customer_id, all_customers)?;
            let filter = OrderFilter {
                statuses: statuses.map(distinct),
                product_id: product_id.map(|id| product_id_argument(&id)).transpose()?,
                tracking_number,
                placed_from: placed_from.map(|DateTime(time)| time),
                placed_before: placed_before.map(|DateTime(time)| time),
            };
            list_orders(ctx, owner, filter, page(first, after, last, before)).await.map(Some)
        })
        .await
    }

    async fn product(&self, ctx: &Context<'_>, id: ID) -> Nullable<Product> {
        nullable(Product::find(ctx, &id)).await
    }

    /// The catalogue by id, open to everybody; search matches name and description, case-insensitively.
    async fn products(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
        search: Option<String>,
    ) -> Nullable<Connection<Product>> {
        nullable(async {
            // A blank search matches everything, as none does.
            let search = search.filter(|search| !search.trim().is_empty());
            let list = ListProducts { search, page: page(first, after, last, before) };
            list.bounds().map_err(|error| list_error(&error))?;
            let client = ctx.data_unchecked::<Loaders>().client();
            let answer: DomainResult<ProductPage> =
                client.call(INVENTORY_LIST, &list).await.map_err(|error| query_error(&error))?;
            let page = answer.into_result().map_err(|error| list_error(&error))?;
            Ok(Some(page.into()))
        })
        .await
    }
}

fn product_id_argument(id: &ID) -> Result<ProductId, GraphqlError> {
    id.parse().map_err(|error| ErrorCode::BadUserInput.error(format!("productId {error}")))
}
