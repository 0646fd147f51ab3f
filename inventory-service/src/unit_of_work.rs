//! Loads the rows of a [`UnitOfWork`] under locks, and saves what was decided, in one transaction.

use std::collections::BTreeSet;

use schema::ids::{OrderId, ProductId};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DbErr, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, QueryTrait,
};
use store::{StoreError, Transaction, for_update};
use uuid::Uuid;

use crate::stock::{Row, UnitOfWork};
use crate::tables::{
    line_columns, movement_columns, parse_product_id, product, product_columns, reservation,
    reservation_columns, reservation_line, stock_movement,
};

/// Rows of one statement: a database takes a bounded number of values at once, SQLite 32,766.
const ROWS_PER_STATEMENT: usize = 1_000;

/// The rows that a transaction locks.
#[derive(Debug, Clone, Default)]
pub(crate) struct LockSet {
    /// Orders, whether they have a row or not.
    pub(crate) orders: BTreeSet<OrderId>,
    /// Products; those that the orders hold are added.
    pub(crate) products: BTreeSet<ProductId>,
    /// Adjustments, whether made or not.
    pub(crate) adjustments: BTreeSet<Uuid>,
}

/// Loads the rows of `locks` into `work`, locked until the transaction ends.
///
/// Products first, then reservations, each in the order of their ids: transactions that overlap wait for one another
/// instead of deadlocking. Two that are about to insert the same order's row want the same products, so that the second
/// one sees the first one's row; if it does not, the primary key stops it.
pub(crate) async fn load_locked(
    work: &mut UnitOfWork,
    transaction: &Transaction,
    locks: &LockSet,
) -> Result<(), StoreError> {
    let orders: Vec<Uuid> = locks.orders.iter().map(|order| order.0).collect();
    let mut products = locks.products.clone();
    if !orders.is_empty() {
        let held: Vec<String> = reservation_line::Entity::find()
            .select_only()
            .column(reservation_line::Column::ProductId)
            .distinct()
            .filter(reservation_line::Column::OrderId.is_in(orders.iter().copied()))
            .into_tuple()
            .all(transaction)
            .await?;
        for id in held {
            products.insert(parse_product_id(id)?);
        }
    }
    if !products.is_empty() {
        let mut select = product::Entity::find()
            .filter(product::Column::Id.is_in(products.iter().map(ProductId::as_str)))
            .order_by_asc(product::Column::Id);
        for_update(transaction.get_database_backend(), QueryTrait::query(&mut select));
        for row in select.all(transaction).await? {
            let product = row.into_product()?;
            work.products.insert(product.id.clone(), Row::stored(product));
        }
    }
    load_reservations(work, transaction, orders).await?;
    let mut lines = work.reservations.values().flat_map(|row| &row.value.lines);
    if lines.any(|line| !products.contains(&line.product_id)) {
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
    Ok(())
}

async fn load_reservations(
    work: &mut UnitOfWork,
    transaction: &Transaction,
    orders: Vec<Uuid>,
) -> Result<(), StoreError> {
    if orders.is_empty() {
        return Ok(());
    }
    let mut select = reservation::Entity::find()
        .filter(reservation::Column::OrderId.is_in(orders))
        .order_by_asc(reservation::Column::OrderId);
    for_update(transaction.get_database_backend(), QueryTrait::query(&mut select));
    for row in select.all(transaction).await? {
        let reservation = row.into_reservation()?;
        work.reservations.insert(reservation.order_id, Row::stored(reservation));
    }
    if work.reservations.is_empty() {
        return Ok(());
    }
    let lines = reservation_line::Entity::find()
        .filter(reservation_line::Column::OrderId.is_in(work.reservations.keys().map(|order| order.0)))
        .all(transaction)
        .await?;
    for row in lines {
        if let Some(reservation) = work.reservations.get_mut(&OrderId(row.order_id)) {
            reservation.value.lines.push(row.into_line()?);
        }
    }
    Ok(())
}

/// Writes what was decided: one update for each product, whatever the number of orders.
pub(crate) async fn save(work: &UnitOfWork, transaction: &Transaction) -> Result<(), StoreError> {
    for row in work.products.values().filter(|row| row.changed) {
        let columns = product_columns(&row.value);
        if row.stored {
            product::Entity::update(columns).exec_without_returning(transaction).await?;
        } else {
            let insert = product::Entity::insert(columns).exec_without_returning(transaction);
            insert.await.map_err(insert_error)?;
        }
    }
    save_reservations(work, transaction).await?;
    let movements: Vec<_> = work.movements.iter().map(movement_columns).collect();
    for movements in movements.chunks(ROWS_PER_STATEMENT) {
        let insert =
            stock_movement::Entity::insert_many(movements.to_vec()).exec_without_returning(transaction);
        insert.await.map_err(insert_error)?;
    }
    Ok(())
}

async fn save_reservations(work: &UnitOfWork, transaction: &Transaction) -> Result<(), StoreError> {
    let changed = work.reservations.values().filter(|row| row.changed);
    let (stored, fresh): (Vec<_>, Vec<_>) = changed.partition(|row| row.stored);
    for fresh in fresh.chunks(ROWS_PER_STATEMENT) {
        let columns = fresh.iter().map(|row| reservation_columns(&row.value));
        let insert = reservation::Entity::insert_many(columns).exec_without_returning(transaction);
        insert.await.map_err(insert_error)?;
    }
    for stored in stored.chunks(ROWS_PER_STATEMENT) {
        // The rows exist, and are locked: this is an update of many rows in one statement.
        let update = OnConflict::column(reservation::Column::OrderId)
            .update_columns([
                reservation::Column::State,
                reservation::Column::Fingerprint,
                reservation::Column::Attempt,
                reservation::Column::Version,
                reservation::Column::Confirmed,
                reservation::Column::ReportedAt,
                reservation::Column::AskAt,
            ])
            .to_owned();
        let columns = stored.iter().map(|row| reservation_columns(&row.value));
        reservation::Entity::insert_many(columns)
            .on_conflict(update)
            .exec_without_returning(transaction)
            .await?;
    }
    let lines_changed = || work.reservations.values().filter(|row| row.value.lines_changed);
    let replaced: Vec<_> = lines_changed().filter(|row| row.stored).map(|row| row.value.order_id.0).collect();
    if !replaced.is_empty() {
        reservation_line::Entity::delete_many()
            .filter(reservation_line::Column::OrderId.is_in(replaced))
            .exec(transaction)
            .await?;
    }
    let lines: Vec<_> = lines_changed().flat_map(|row| line_columns(&row.value)).collect();
    for lines in lines.chunks(ROWS_PER_STATEMENT) {
        reservation_line::Entity::insert_many(lines.to_vec()).exec_without_returning(transaction).await?;
    }
    Ok(())
}

/// Classifies the violation of a key as contention: another transaction has inserted the same row since this one looked.
fn insert_error(error: DbErr) -> StoreError {
    match StoreError::from(error) {
        StoreError::Constraint { name } if !name.contains("products_stock") => StoreError::Contention(name),
        error => error,
    }
}
