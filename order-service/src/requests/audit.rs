use std::collections::HashMap;

use schema::limits::REQUEST_MAX_ITEMS;
use schema::order_messages::{AuditedOrder, HistoryEntry, Item, OrderAudit, OrderAudited};
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _};
use store::StoreError;
use uuid::Uuid;

use super::history::entries;
use crate::context::Context;
use crate::orders::{EVENTS, Stored, with_lines};
use crate::queue_metrics::{backlog, unpublished};
use crate::tables::order;

/// A page of orders by id each, deleted ones included, with what an audit holds against inventory.
pub(super) async fn audit(
    context: &Context,
    questions: Vec<OrderAudit>,
) -> Result<Vec<OrderAudited>, StoreError> {
    let mut pages = Vec::with_capacity(questions.len());
    for question in &questions {
        pages.push(page(context, question).await?);
    }
    Ok(pages)
}

async fn page(context: &Context, question: &OrderAudit) -> Result<OrderAudited, StoreError> {
    let connection = context.database.read();
    let head = EVENTS.assign_positions(&context.database).await?;
    let outbox = unpublished(context).await?;
    let limit = (question.limit as usize).clamp(1, REQUEST_MAX_ITEMS);
    let mut select = order::Entity::find()
        .filter(Expr::col(order::Column::Fenced).not())
        .order_by_asc(order::Column::Id)
        .limit(limit as u64 + 1);
    if let Some(after) = question.after {
        select = select.filter(order::Column::Id.gt(after.0));
    }
    let mut rows = select.all(connection).await?;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let keys: HashMap<Uuid, String> =
        rows.iter().filter_map(|row| Some((row.id, row.idempotency_key.clone()?))).collect();
    let mut steps = entries(context, rows.iter().map(|row| row.id).collect()).await?;
    let orders = with_lines(connection, rows).await?.into_iter().map(|stored| {
        let id = stored.order.id.0;
        audited(stored, keys.get(&id).cloned(), steps.remove(&id).unwrap_or_default())
    });
    let orders = orders.collect();
    let backlog = if question.after.is_none() { Some(backlog(context).await?) } else { None };
    Ok(OrderAudited { orders, has_more, outbox, head, backlog })
}

fn audited(stored: Stored, idempotency_key: Option<String>, steps: Vec<HistoryEntry>) -> AuditedOrder {
    let Stored { order, deleted, .. } = stored;
    let items = order.line_items.into_iter();
    AuditedOrder {
        order_id: order.id,
        customer_id: order.customer_id,
        idempotency_key,
        status: order.status,
        version: order.version,
        deleted,
        items: items.map(|line| Item { product_id: line.product_id, quantity: line.quantity }).collect(),
        steps,
    }
}
