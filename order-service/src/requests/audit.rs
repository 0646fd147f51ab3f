//! `order.audit`: the facts about orders that an audit compares with inventory-service's.

use std::collections::HashMap;

use bus::message::ANSWER_MAX_BYTES;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use schema::limits::REQUEST_MAX_ITEMS;
use schema::order::{LineItem, json_text_bytes_max};
use schema::order_messages::{AuditPage, AuditedOrder, Item, OrderAudited};
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _};
use store::StoreError;
use uuid::Uuid;

use crate::context::Context;
use crate::orders::{EVENTS, OrderRow, history, with_lines};
use crate::queue_metrics::{backlog, unpublished};
use crate::tables::order;

/// Bytes that an item, or a shortfall, takes as JSON but its product.
const ITEM_JSON_BYTES: usize = 80;
/// Bytes that a step takes as JSON; an order takes less than two of them beside its texts.
const STEP_JSON_BYTES: usize = 250;

/// Returns a page of orders by id for each request, deleted ones included.
pub(super) async fn audit(
    context: &Context,
    requests: Vec<AuditPage>,
) -> Result<Vec<OrderAudited>, StoreError> {
    let room = ANSWER_MAX_BYTES / requests.len().max(1);
    stream::iter(&requests).then(|request| page(context, request, room)).try_collect().await
}

/// How many of the orders have room, one at least.
fn fitting(orders: &[AuditedOrder], room: usize) -> usize {
    let mut bytes = 0;
    let fits = |order: &&AuditedOrder| {
        let items =
            order.items.iter().map(|item| ITEM_JSON_BYTES + json_text_bytes_max(item.product_id.as_str()));
        let shortfalls = order.rejection.iter().flat_map(|rejection| &rejection.shortfalls);
        let shortfalls =
            shortfalls.map(|short| ITEM_JSON_BYTES + json_text_bytes_max(short.product_id.as_str()));
        let texts = [order.idempotency_key.as_deref(), Some(order.customer_id.as_str())];
        let texts = texts.into_iter().flatten().map(json_text_bytes_max);
        let steps = STEP_JSON_BYTES * (order.steps.len() + 2);
        bytes += items.sum::<usize>() + shortfalls.sum::<usize>() + texts.sum::<usize>() + steps;
        bytes <= room
    };
    orders.iter().take_while(fits).count().max(1)
}

async fn page(context: &Context, request: &AuditPage, room: usize) -> Result<OrderAudited, StoreError> {
    let connection = context.database.read();
    let head = EVENTS.assign_positions(&context.database).await?;
    let outbox = unpublished(context).await?;
    let limit = (request.limit as usize).clamp(1, REQUEST_MAX_ITEMS);
    let mut select = order::Entity::find()
        .filter(Expr::col(order::Column::Fenced).not())
        .order_by_asc(order::Column::Id)
        .limit(limit as u64 + 1);
    if let Some(after) = request.after {
        select = select.filter(order::Column::Id.gt(after.0));
    }
    let mut rows = select.all(connection).await?;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let mut keys: HashMap<Uuid, String> =
        rows.iter().filter_map(|row| Some((row.id, row.idempotency_key.clone()?))).collect();
    let mut steps = history(connection, rows.iter().map(|row| row.id).collect()).await?;
    let item = |line: LineItem| Item { product_id: line.product_id, quantity: line.quantity };
    let audited = |OrderRow { order, deleted, .. }: OrderRow| AuditedOrder {
        order_id: order.id,
        customer_id: order.customer_id,
        idempotency_key: keys.remove(&order.id.0),
        status: order.status,
        version: order.version,
        deleted,
        items: order.line_items.into_iter().map(item).collect(),
        rejection: order.rejection,
        steps: steps.remove(&order.id.0).unwrap_or_default(),
    };
    let mut orders: Vec<AuditedOrder> =
        with_lines(connection, rows).await?.into_iter().map(audited).collect();
    let kept = fitting(&orders, room);
    let has_more = has_more || kept < orders.len();
    orders.truncate(kept);
    let backlog = if request.after.is_none() { Some(backlog(context).await?) } else { None };
    Ok(OrderAudited { orders, has_more, outbox, head, backlog })
}
