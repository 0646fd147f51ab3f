//! Writes what a [`UnitOfWork`] has decided row by row, on either database.

use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait as _, DbErr, EntityTrait as _, QueryFilter as _};
use store::{StoreError, Transaction};
use uuid::Uuid;

use crate::stock::UnitOfWork;
use crate::tables::{
    line_columns, movement_columns, product, product_columns, reservation, reservation_columns,
    reservation_line, stock_movement,
};

/// Rows of one statement: a database takes a bounded number of values at once, SQLite 32,766.
const ROWS_PER_STATEMENT: usize = 1_000;

pub(crate) async fn save_rows(work: &UnitOfWork, transaction: &Transaction) -> Result<(), StoreError> {
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
    delete_replaced_lines(work, transaction).await?;
    let lines_changed = work.reservations.values().filter(|row| row.value.lines_changed);
    let lines: Vec<_> = lines_changed.flat_map(|row| line_columns(&row.value)).collect();
    for lines in lines.chunks(ROWS_PER_STATEMENT) {
        reservation_line::Entity::insert_many(lines.to_vec()).exec_without_returning(transaction).await?;
    }
    Ok(())
}

/// Deletes the lines of stored reservations that get others.
pub(crate) async fn delete_replaced_lines(
    work: &UnitOfWork,
    transaction: &Transaction,
) -> Result<(), StoreError> {
    let replaced = work.reservations.values().filter(|row| row.stored && row.value.lines_changed);
    let orders: Vec<Uuid> = replaced.map(|row| row.value.order_id.0).collect();
    if !orders.is_empty() {
        reservation_line::Entity::delete_many()
            .filter(reservation_line::Column::OrderId.is_in(orders))
            .exec(transaction)
            .await?;
    }
    Ok(())
}

/// Classifies the violation of a key as contention: another transaction has inserted the same row since this one looked.
pub(crate) fn insert_error(error: DbErr) -> StoreError {
    match StoreError::from(error) {
        StoreError::Constraint { name } if !name.contains("products_stock") => StoreError::Contention(name),
        error => error,
    }
}
