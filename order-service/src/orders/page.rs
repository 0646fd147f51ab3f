//! Reads the rows of a page of orders.
//!
//! A page is a bounded range of an index that has the filter's columns first and then the list's order, so that it costs
//! the same however many orders there are. All ranges are read in one statement, and so at one moment: an order that
//! moves from one status to another meanwhile is in exactly one of them.

use std::collections::BTreeSet;

use schema::cursor::OrderCursor;
use schema::ids::ProductId;
use schema::order::OrderStatus;
use schema::order_messages::{ListOrders, OrderScope};
use schema::page::PageBounds;
use sea_orm::sea_query::{
    Asterisk, Condition, Expr, ExprTrait as _, IntoColumnRef as _, JoinType, Order as Direction, Query,
    SelectStatement, UnionType,
};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait as _, QueryFilter as _, QuerySelect as _, QueryTrait as _,
};
use store::StoreError;

use super::query::readable;
use crate::tables::{order, order_product};

/// Returns the first rows of the page, counted from the end that `bounds` read from, up to its limit.
pub(crate) async fn page_rows(
    connection: &impl ConnectionTrait,
    list: &ListOrders,
    bounds: &PageBounds<OrderCursor>,
) -> Result<Vec<order::Model>, StoreError> {
    let Some(statement) = union(statuses(list).into_iter().map(|status| range(list, bounds, status))) else {
        return Ok(Vec::new());
    };
    let statement = connection.get_database_backend().build(&statement);
    let mut rows = order::Entity::find().from_raw_sql(statement).all(connection).await?;
    rows.sort_by_key(|row| (row.created_at, row.id));
    if bounds.reads_forwards() {
        rows.reverse();
    }
    rows.truncate(usize::try_from(bounds.limit()).expect("a page is bounded"));
    Ok(rows)
}

/// The statuses to read a range of each; `None` for one range of all statuses, which the indexes by product and by
/// tracking number don't have.
fn statuses(list: &ListOrders) -> BTreeSet<Option<OrderStatus>> {
    let filter = &list.filter;
    let asked: BTreeSet<_> =
        filter.statuses.as_deref().unwrap_or(&OrderStatus::ALL).iter().copied().map(Some).collect();
    let has_all = asked.len() == OrderStatus::ALL.len();
    let by_status = filter.product_id.is_some() || filter.tracking_number.is_some();
    if has_all && !by_status { BTreeSet::from([None]) } else { asked }
}

/// All rows of these ranges; none if there is no range.
fn union(ranges: impl Iterator<Item = SelectStatement>) -> Option<SelectStatement> {
    // SQLite takes the limit of a part only in a subquery.
    let parts = ranges.zip(0..).map(|(range, number)| {
        Query::select().column(Asterisk).from_subquery(range, format!("range{number}")).take()
    });
    parts.reduce(|mut all, part| all.union(UnionType::All, part).take())
}

fn range(
    list: &ListOrders,
    bounds: &PageBounds<OrderCursor>,
    status: Option<OrderStatus>,
) -> SelectStatement {
    match &list.filter.product_id {
        Some(product_id) => range_of_product(list, bounds, status, product_id),
        None => range_of_orders(list, bounds, status),
    }
}

fn range_of_orders(
    list: &ListOrders,
    bounds: &PageBounds<OrderCursor>,
    status: Option<OrderStatus>,
) -> SelectStatement {
    use order::Column;
    let mut select = order::Entity::find();
    if let OrderScope::Customer { customer_id } = &list.owner {
        select = select.filter(Column::CustomerId.eq(customer_id.as_str()));
    }
    if let Some(number) = &list.filter.tracking_number {
        select = select.filter(Column::TrackingNumber.eq(number));
    }
    if let Some(status) = status {
        select = select.filter(Column::Status.eq(status.as_str()));
    }
    let is_all = list.owner == OrderScope::Any && list.filter.tracking_number.is_none() && status.is_none();
    let select = select.filter(if is_all { readable_by_age() } else { readable() });
    narrow(select.into_query(), [Column::CreatedAt, Column::Id], list, bounds)
}

fn range_of_product(
    list: &ListOrders,
    bounds: &PageBounds<OrderCursor>,
    status: Option<OrderStatus>,
    product_id: &ProductId,
) -> SelectStatement {
    use order_product::Column;
    let mut keys = order_product::Entity::find().select_only().column(Column::OrderId);
    keys = keys.filter(Column::ProductId.eq(product_id.as_str()));
    if let OrderScope::Customer { customer_id } = &list.owner {
        keys = keys.filter(Column::CustomerId.eq(customer_id.as_str()));
    }
    if let Some(status) = status {
        keys = keys.filter(Column::Status.eq(status.as_str()));
    }
    // Of the index alone; an order is looked up only once it is known to be in the page.
    let keys = narrow(keys.into_query(), [Column::CreatedAt, Column::OrderId], list, bounds);
    let is_order = Expr::col(("keys", "order_id")).equals(order::Column::Id.as_column_ref());
    order::Entity::find().into_query().join_subquery(JoinType::InnerJoin, keys, "keys", is_order).take()
}

/// Says what [`readable`] says in the words of the index of all orders by age, which no other list may use: PostgreSQL
/// would walk it for a list by status, whose orders may all be old, past every order that has another status.
fn readable_by_age() -> Condition {
    let version = Expr::col((order::Entity, order::Column::Version));
    Condition::all().add(order::Column::DeletedAt.is_null()).add(version.gt(Expr::cust("0")))
}

/// Sorts by the key, and keeps what lies within the page's bounds and the filter's times.
///
/// Of a cursor and a time at one end, one implies the other, and only that one is in the statement: with both, a database
/// may take the looser one for the end of its range, and read the rows in between in vain.
fn narrow<C: ColumnTrait>(
    mut select: SelectStatement,
    key: [C; 2],
    list: &ListOrders,
    bounds: &PageBounds<OrderCursor>,
) -> SelectStatement {
    let [created_at, id] = key.map(|column| column.as_column_ref().into_column_ref());
    let placed = || Expr::col(created_at.clone());
    let key = || Expr::tuple([placed(), Expr::col(id.clone())]);
    let place = |cursor: &OrderCursor| {
        Expr::tuple([Expr::val(cursor.created_at.to_utc()), Expr::val(cursor.order_id.0)])
    };
    let upper = match (&bounds.after, list.filter.placed_before) {
        (Some(after), time) if time.is_none_or(|time| after.created_at < time) => {
            Some(key().lt(place(after)))
        }
        (_, time) => time.map(|time| placed().lt(time.to_utc())),
    };
    let lower = match (&bounds.before, list.filter.placed_from) {
        (Some(before), time) if time.is_none_or(|time| before.created_at >= time) => {
            Some(key().gt(place(before)))
        }
        (_, time) => time.map(|time| placed().gte(time.to_utc())),
    };
    for end in upper.into_iter().chain(lower) {
        select.and_where(end);
    }
    let direction = if bounds.reads_forwards() { Direction::Desc } else { Direction::Asc };
    select.order_by(created_at, direction.clone()).order_by(id, direction).limit(bounds.limit()).take()
}
