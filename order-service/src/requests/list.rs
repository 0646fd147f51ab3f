//! Pages of orders, newest first, by keyset: stable while orders are being added.

use std::collections::HashSet;

use schema::cursor::OrderCursor;
use schema::domain_error::DomainResult;
use schema::order::{Order, OrderStatus};
use schema::order_messages::{ListOrders, OrderPage, OrderScope};
use schema::page::PageBounds;
use sea_orm::sea_query::{Expr, ExprTrait as _, SimpleExpr};
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, Order as Direction, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, Select,
};
use store::StoreError;

use crate::context::Context;
use crate::orders::{readable, with_lines};
use crate::tables::order;

/// A page each, or a refusal of its bounds or cursors.
pub(super) async fn list(
    context: &Context,
    questions: Vec<ListOrders>,
) -> Result<Vec<DomainResult<OrderPage>>, StoreError> {
    let mut pages = Vec::with_capacity(questions.len());
    for question in questions {
        pages.push(match question.bounds() {
            Ok(bounds) => DomainResult::Done(page(context, &question, &bounds).await?),
            Err(refused) => DomainResult::Refused { refused },
        });
    }
    Ok(pages)
}

async fn page(
    context: &Context,
    question: &ListOrders,
    bounds: &PageBounds<OrderCursor>,
) -> Result<OrderPage, StoreError> {
    let connection = context.database.read();
    let mut rows = Vec::new();
    // One bounded read of an index for each status: however rare it is, nothing else is scanned for it.
    for select in in_statuses(question.statuses.as_deref(), &base(question, bounds)) {
        rows.extend(select.all(connection).await?);
    }
    rows.sort_by_key(|row| (row.created_at, row.id));
    if bounds.reads_forwards() {
        rows.reverse();
    }
    rows.truncate(usize::try_from(bounds.limit()).expect("a page is bounded"));
    let page = bounds.cut(rows);
    let orders: Vec<Order> =
        with_lines(connection, page.rows).await?.into_iter().map(|stored| stored.order).collect();
    Ok(OrderPage { orders, has_next_page: page.has_next_page, has_previous_page: page.has_previous_page })
}

fn base(question: &ListOrders, bounds: &PageBounds<OrderCursor>) -> Select<order::Entity> {
    let direction = if bounds.reads_forwards() { Direction::Desc } else { Direction::Asc };
    let mut select = order::Entity::find()
        .filter(readable())
        .order_by(order::Column::CreatedAt, direction.clone())
        .order_by(order::Column::Id, direction)
        .limit(bounds.limit());
    if let OrderScope::Customer { customer_id } = &question.owner {
        select = select.filter(order::Column::CustomerId.eq(customer_id.as_str()));
    }
    if let Some(after) = &bounds.after {
        select = select.filter(key().lt(key_of(after)));
    }
    if let Some(before) = &bounds.before {
        select = select.filter(key().gt(key_of(before)));
    }
    select
}

fn in_statuses(statuses: Option<&[OrderStatus]>, base: &Select<order::Entity>) -> Vec<Select<order::Entity>> {
    let Some(statuses) = statuses else { return vec![base.clone()] };
    let distinct: HashSet<OrderStatus> = statuses.iter().copied().collect();
    if distinct.len() == OrderStatus::ALL.len() {
        return vec![base.clone()];
    }
    distinct
        .into_iter()
        .map(|status| base.clone().filter(order::Column::Status.eq(status.as_str())))
        .collect()
}

fn key() -> SimpleExpr {
    Expr::tuple([
        Expr::col((order::Entity, order::Column::CreatedAt)),
        Expr::col((order::Entity, order::Column::Id)),
    ])
}

fn key_of(cursor: &OrderCursor) -> SimpleExpr {
    Expr::tuple([Expr::val(cursor.created_at.to_utc()), Expr::val(cursor.order_id.0)])
}
