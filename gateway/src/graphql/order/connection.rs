use async_graphql::{Context, SimpleObject};
use schema::cursor::OrderCursor;
use schema::order as wire;
use schema::order_messages::{ListOrders, OrderScope};
use schema::page::CutPage;
use std::sync::Arc;

use super::{Order, OrderStatus};
use crate::auth::Scope;
use crate::auth::Viewer;
use crate::graphql::loading::Loaders;
use crate::graphql::page::{PageInfo, list_error, page};
use crate::query::GraphqlError;

#[derive(SimpleObject)]
pub(crate) struct OrderConnection {
    edges: Vec<OrderEdge>,
    nodes: Vec<Order>,
    page_info: PageInfo,
}

#[derive(SimpleObject)]
pub(crate) struct OrderEdge {
    cursor: String,
    node: Order,
}

/// A page of the orders of the named customer, or of the caller's own.
pub(crate) async fn list_orders(
    ctx: &Context<'_>,
    customer_id: Option<&str>,
    first: Option<i32>,
    after: Option<String>,
    last: Option<i32>,
    before: Option<String>,
    statuses: Option<Vec<OrderStatus>>,
) -> Result<OrderConnection, GraphqlError> {
    let viewer = Viewer::from_context(ctx)?;
    viewer.require(Scope::OrdersRead)?;
    let customer_id = viewer.default_to_caller(customer_id)?;
    let list = ListOrders {
        owner: OrderScope::Customer { customer_id },
        statuses: statuses.map(distinct),
        page: page(first, after, last, before),
    };
    list.bounds().map_err(|error| list_error(&error))?;
    let list = ctx.data_unchecked::<Loaders>().orders(list).await?;
    Ok(OrderConnection::from(&*list))
}

/// However long the argument is, the message names each status once.
fn distinct(statuses: Vec<OrderStatus>) -> Vec<wire::OrderStatus> {
    let mut statuses: Vec<wire::OrderStatus> = statuses.into_iter().map(wire::OrderStatus::from).collect();
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

impl From<&CutPage<Arc<wire::Order>>> for OrderConnection {
    fn from(list: &CutPage<Arc<wire::Order>>) -> Self {
        let edges: Vec<OrderEdge> = list.rows.iter().map(OrderEdge::from).collect();
        let page_info = PageInfo {
            has_next_page: list.has_next_page,
            has_previous_page: list.has_previous_page,
            start_cursor: edges.first().map(|edge| edge.cursor.clone()),
            end_cursor: edges.last().map(|edge| edge.cursor.clone()),
        };
        Self { nodes: edges.iter().map(|edge| edge.node.clone()).collect(), edges, page_info }
    }
}

impl From<&Arc<wire::Order>> for OrderEdge {
    fn from(order: &Arc<wire::Order>) -> Self {
        let cursor = OrderCursor {
            created_at: order.created_at,
            order_id: order.id,
            customer_id: order.customer_id.clone(),
        };
        Self { cursor: cursor.encode(), node: Order::from(Arc::clone(order)) }
    }
}
