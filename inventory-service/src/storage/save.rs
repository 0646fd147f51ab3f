use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait as _, DatabaseTransaction, EntityTrait as _, QueryFilter as _,
};
use store::StoreError;

use super::tables::{product, reservation, reservation_line, stock_movement};
use crate::stock::{Book, Cause, Movement, Reservation, StockedProduct};

/// Rows of one statement: a database takes a bounded number of values at once, SQLite 32,766.
const ROWS_PER_STATEMENT: usize = 1_000;

/// Writes what a book has decided: one update for each product, whatever the number of orders.
pub(super) async fn save(book: &Book, transaction: &DatabaseTransaction) -> Result<(), StoreError> {
    for row in book.products.values().filter(|row| row.changed) {
        let row_of_product = active_product(&row.value);
        if row.stored {
            product::Entity::update(row_of_product).exec_without_returning(transaction).await?;
        } else {
            product::Entity::insert(row_of_product)
                .exec_without_returning(transaction)
                .await
                .map_err(lost_race)?;
        }
    }
    save_reservations(book, transaction).await?;
    let movements: Vec<_> = book.movements.iter().map(active_movement).collect();
    for movements in movements.chunks(ROWS_PER_STATEMENT) {
        stock_movement::Entity::insert_many(movements.to_vec())
            .exec_without_returning(transaction)
            .await
            .map_err(lost_race)?;
    }
    Ok(())
}

async fn save_reservations(book: &Book, transaction: &DatabaseTransaction) -> Result<(), StoreError> {
    let changed = || book.reservations.values().filter(|row| row.changed);
    let fresh: Vec<_> =
        changed().filter(|row| !row.stored).map(|row| active_reservation(&row.value)).collect();
    for fresh in fresh.chunks(ROWS_PER_STATEMENT) {
        reservation::Entity::insert_many(fresh.to_vec())
            .exec_without_returning(transaction)
            .await
            .map_err(lost_race)?;
    }
    let stored: Vec<_> =
        changed().filter(|row| row.stored).map(|row| active_reservation(&row.value)).collect();
    for stored in stored.chunks(ROWS_PER_STATEMENT) {
        // The rows are there, and locked: this is an update of many rows in one statement.
        reservation::Entity::insert_many(stored.to_vec())
            .on_conflict(
                OnConflict::column(reservation::Column::OrderId)
                    .update_columns([
                        reservation::Column::State,
                        reservation::Column::Fingerprint,
                        reservation::Column::Attempt,
                        reservation::Column::Version,
                        reservation::Column::Confirmed,
                        reservation::Column::HeardAt,
                        reservation::Column::AskAt,
                    ])
                    .to_owned(),
            )
            .exec_without_returning(transaction)
            .await?;
    }
    save_lines(book, transaction).await
}

async fn save_lines(book: &Book, transaction: &DatabaseTransaction) -> Result<(), StoreError> {
    let changed = || book.reservations.values().filter(|row| row.value.lines_changed);
    let replaced: Vec<_> = changed().filter(|row| row.stored).map(|row| row.value.order_id.0).collect();
    if !replaced.is_empty() {
        reservation_line::Entity::delete_many()
            .filter(reservation_line::Column::OrderId.is_in(replaced))
            .exec(transaction)
            .await?;
    }
    let lines: Vec<_> = changed().flat_map(|row| active_lines(&row.value)).collect();
    for lines in lines.chunks(ROWS_PER_STATEMENT) {
        reservation_line::Entity::insert_many(lines.to_vec()).exec_without_returning(transaction).await?;
    }
    Ok(())
}

/// Somebody else has made the same new row since this transaction looked.
fn lost_race(error: sea_orm::DbErr) -> StoreError {
    match StoreError::from(error) {
        StoreError::Constraint { name } if !name.contains("products_stock") => StoreError::Contention(name),
        error => error,
    }
}

fn active_product(product: &StockedProduct) -> product::ActiveModel {
    product::ActiveModel {
        id: Set(product.id.to_string()),
        name: Set(product.name.clone()),
        description: Set(product.description.clone()),
        search_text: Set(search_text(&product.name, &product.description)),
        unit_price: Set(product.unit_price.amount_minor),
        currency: Set(product.unit_price.currency.to_string()),
        on_hand: Set(product.on_hand),
        reserved: Set(product.reserved),
        available_quantity: NotSet,
        created_at: Set(product.created_at.to_utc()),
        updated_at: Set(product.updated_at.to_utc()),
    }
}

/// What a search is matched against; no search holds the line break between the two.
fn search_text(name: &str, description: &str) -> String {
    format!("{}\n{}", name.to_lowercase(), description.to_lowercase())
}

fn active_reservation(reservation: &Reservation) -> reservation::ActiveModel {
    reservation::ActiveModel {
        order_id: Set(reservation.order_id.0),
        state: Set(reservation.state.as_str().to_owned()),
        fingerprint: Set(reservation.fingerprint.clone()),
        attempt: Set(reservation.attempt.into()),
        version: Set(reservation.version.into()),
        confirmed: Set(reservation.confirmed),
        created_at: Set(reservation.created_at.to_utc()),
        heard_at: Set(reservation.heard_at.to_utc()),
        ask_at: Set(reservation.ask_at.map(|at| at.to_utc())),
    }
}

fn active_lines(reservation: &Reservation) -> Vec<reservation_line::ActiveModel> {
    let line = |line: &crate::stock::Line| reservation_line::ActiveModel {
        order_id: Set(reservation.order_id.0),
        product_id: Set(line.product_id.to_string()),
        quantity: Set(line.quantity.into()),
        product_name: Set(line.product_name.clone()),
        unit_price: Set(line.unit_price.amount_minor),
        currency: Set(line.unit_price.currency.to_string()),
    };
    reservation.lines.iter().map(line).collect()
}

fn active_movement(movement: &Movement) -> stock_movement::ActiveModel {
    let (order_id, adjustment_id, reason) = match &movement.cause {
        Cause::Order(order_id) => (Some(order_id.0), None, None),
        Cause::Adjustment { id, reason } => (None, Some(*id), Some(reason.clone())),
    };
    stock_movement::ActiveModel {
        id: NotSet,
        product_id: Set(movement.product_id.to_string()),
        kind: Set(movement.kind.as_str().to_owned()),
        order_id: Set(order_id),
        adjustment_id: Set(adjustment_id),
        on_hand_delta: Set(movement.on_hand_delta),
        reserved_delta: Set(movement.reserved_delta),
        on_hand_after: Set(movement.on_hand_after),
        reserved_after: Set(movement.reserved_after),
        reason: Set(reason),
        created_at: Set(movement.at.to_utc()),
    }
}
