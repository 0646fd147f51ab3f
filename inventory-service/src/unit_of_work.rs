//! Loads the rows of a [`UnitOfWork`] under locks, and saves what was decided, in one transaction.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use schema::ids::{OrderId, ProductId};
use schema::time::Timestamp;
use sea_orm::prelude::DateTimeUtc;
use sea_orm::sea_query::{ArrayType, Expr};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DbBackend, EntityTrait as _, FromQueryResult, Iterable as _,
    QueryFilter as _, QueryOrder as _, QueryResult, QuerySelect as _, QueryTrait, Statement, Value,
};
use store::bulk::{column_list, is_any};
use store::{Database, StoreError, Transaction, for_update};
use uuid::Uuid;

use crate::save_postgres::save_postgres;
use crate::save_rows::save_rows;
use crate::stock::{HoldTime, Reservation, Row, UnitOfWork};
use crate::tables::{parse_product_id, product, reservation, reservation_line, stock_movement};

/// The rows that a transaction locks.
#[derive(Debug, Clone, Default)]
pub(crate) struct LockSet {
    /// Orders, whether they have a row or not.
    pub(crate) orders: BTreeSet<OrderId>,
    /// Products; those that the orders hold are added.
    pub(crate) products: BTreeSet<ProductId>,
    /// Adjustments, whether made or not.
    pub(crate) adjustments: BTreeSet<Uuid>,
    /// Whether no product is locked, for decisions that change no stock.
    pub(crate) without_products: bool,
}

/// Loads the rows of `locks`, locked until the transaction ends.
///
/// Products first, then reservations, each in the order of their ids: transactions that overlap wait for one another
/// instead of deadlocking. Two that are about to insert the same order's row want the same products, so that the second
/// one sees the first one's row; if it does not, the primary key stops it.
pub(crate) async fn load_locked(
    database: &Database,
    transaction: &Transaction,
    locks: &LockSet,
    hold_time: HoldTime,
) -> Result<UnitOfWork, StoreError> {
    let mut time = None;
    let mut products = BTreeMap::new();
    if !locks.without_products {
        for row in lock_products(transaction, locks, &mut time).await? {
            let product = row.into_product()?;
            products.insert(product.id.clone(), Row::stored(product));
        }
    }
    let reservations = lock_reservations(transaction, &locks.orders, &mut time).await?;
    let now = match time {
        Some(now) => now,
        None => database.now_within(transaction).await?,
    };
    let mut work = UnitOfWork { products, reservations, ..UnitOfWork::new(now, hold_time) };
    load_lines(&mut work, transaction).await?;
    let mut lines = work.reservations.values().flat_map(|row| &row.value.lines);
    if !locks.without_products && lines.any(|line| !work.products.contains_key(&line.product_id)) {
        // Superseded in between, with other products.
        return Err(StoreError::Contention("a reservation's products changed".to_owned()));
    }
    if !locks.adjustments.is_empty() {
        let made: Vec<Uuid> = stock_movement::Entity::find()
            .select_only()
            .column(stock_movement::Column::AdjustmentId)
            .filter(stock_movement::Column::AdjustmentId.is_in(locks.adjustments.iter().copied()))
            .into_tuple()
            .all(transaction)
            .await?;
        work.adjustments.extend(made);
    }
    Ok(work)
}

/// Locks the products, those that the orders hold included.
async fn lock_products(
    transaction: &Transaction,
    locks: &LockSet,
    time: &mut Option<Timestamp>,
) -> Result<Vec<product::Model>, StoreError> {
    let (mut products, orders) = (locks.products.clone(), ids(&locks.orders));
    if transaction.get_database_backend() == DbBackend::Postgres {
        let products: Vec<Value> = products.iter().map(|id| id.as_str().into()).collect();
        let orders: Vec<Value> = orders.into_iter().map(Value::from).collect();
        let values = [
            Value::Array(ArrayType::String, Some(Box::new(products))),
            Value::Array(ArrayType::Uuid, Some(Box::new(orders))),
        ];
        let statement = Statement::from_sql_and_values(DbBackend::Postgres, LOCK_PRODUCTS.as_str(), values);
        return timed_rows(transaction.query_all_raw(statement).await?, time);
    }
    if !orders.is_empty() {
        let held: Vec<String> = reservation_line::Entity::find()
            .select_only()
            .column(reservation_line::Column::ProductId)
            .distinct()
            .filter(reservation_line::Column::OrderId.is_in(orders))
            .into_tuple()
            .all(transaction)
            .await?;
        for id in held {
            products.insert(parse_product_id(id)?);
        }
    }
    let wanted = product::Column::Id.is_in(products.iter().map(ProductId::as_str));
    Ok(product::Entity::find().filter(wanted).all(transaction).await?)
}

/// In one statement, with the database's time. A set of ids finds its rows by the index, whereas two conditions with OR
/// would read every product.
static LOCK_PRODUCTS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {}, clock_timestamp() AS now FROM products WHERE id IN (
            SELECT unnest($1::text[]) UNION SELECT product_id FROM reservation_lines WHERE order_id = ANY($2::uuid[])
        ) ORDER BY id FOR UPDATE OF products",
        column_list(product::Column::iter())
    )
});

/// Locks the reservations of these orders, and returns them without their lines.
async fn lock_reservations(
    transaction: &Transaction,
    orders: &BTreeSet<OrderId>,
    time: &mut Option<Timestamp>,
) -> Result<BTreeMap<OrderId, Row<Reservation>>, StoreError> {
    if orders.is_empty() {
        return Ok(BTreeMap::new());
    }
    let backend = transaction.get_database_backend();
    let mut select = reservation::Entity::find()
        .filter(is_any(backend, reservation::Column::OrderId, ids(orders)))
        .order_by_asc(reservation::Column::OrderId);
    for_update(backend, QueryTrait::query(&mut select));
    if backend == DbBackend::Postgres {
        select = select.expr_as(Expr::cust("clock_timestamp()"), "now");
    }
    let rows: Vec<reservation::Model> = timed_rows(transaction.query_all(select.as_query()).await?, time)?;
    let reservation = |row: reservation::Model| {
        let reservation = row.into_reservation()?;
        Ok((reservation.order_id, Row::stored(reservation)))
    };
    rows.into_iter().map(reservation).collect()
}

/// Reads the lines of the reservations in a statement of its own: one that waited for a lock sees other rows as they were
/// before.
async fn load_lines(work: &mut UnitOfWork, transaction: &Transaction) -> Result<(), StoreError> {
    if work.reservations.is_empty() {
        return Ok(());
    }
    let orders = work.reservations.keys().map(|order| order.0);
    let lines = reservation_line::Entity::find()
        .filter(is_any(transaction.get_database_backend(), reservation_line::Column::OrderId, orders))
        .all(transaction)
        .await?;
    for row in lines {
        if let Some(reservation) = work.reservations.get_mut(&OrderId(row.order_id)) {
            reservation.value.lines.push(row.into_line()?);
        }
    }
    Ok(())
}

/// Reads rows, and the time from their column `now` if they have one.
fn timed_rows<M: FromQueryResult>(
    rows: Vec<QueryResult>,
    time: &mut Option<Timestamp>,
) -> Result<Vec<M>, StoreError> {
    if let Some(now) = rows.first().and_then(|row| row.try_get::<DateTimeUtc>("", "now").ok()) {
        *time = Some(now.into());
    }
    Ok(rows.iter().map(|row| M::from_query_result(row, "")).collect::<Result<_, _>>()?)
}

fn ids(orders: &BTreeSet<OrderId>) -> Vec<Uuid> {
    orders.iter().map(|order| order.0).collect()
}

/// Writes what was decided: one update for each product, whatever the number of orders.
pub(crate) async fn save(work: &UnitOfWork, transaction: &Transaction) -> Result<(), StoreError> {
    if transaction.get_database_backend() == DbBackend::Postgres && !work.details_changed {
        save_postgres(work, transaction).await
    } else {
        save_rows(work, transaction).await
    }
}
