//! The one statement that writes what a [`UnitOfWork`] has decided about stock to PostgreSQL.

use std::sync::LazyLock;

use sea_orm::ActiveValue::Set;
use sea_orm::{ConnectionTrait as _, DbBackend, DbErr, Iterable as _, Statement, TryIntoModel as _};
use serde::Serialize;
use store::bulk::{array, column_list, json_records};
use store::{StoreError, Transaction};

use crate::save_rows::{delete_replaced_lines, insert_error};
use crate::stock::{Reservation, Row, UnitOfWork};
use crate::tables::{
    line_columns, movement_columns, reservation, reservation_columns, reservation_line, stock_movement,
};

/// A product's stock, under the names of its columns.
#[derive(Serialize)]
struct ProductStock<'a> {
    id: &'a str,
    on_hand: i64,
    reserved: i64,
    updated_at: chrono::DateTime<chrono::Utc>,
}

/// Parameters, each as records: the stock of products, reservations to insert, reservations that changed, line items and
/// movements; and the ids of the products and of the reservations that changed. Every row that is updated is locked.
///
/// The ids are in the records as well. PostgreSQL can't tell how many records there are, assumes a hundred, and for as many
/// reads a table of some ten thousand rows from one end to the other; how long an array is it knows.
static SAVE: LazyLock<String> = LazyLock::new(|| {
    let reservations = column_list(reservation::Column::iter());
    let lines = column_list(reservation_line::Column::iter());
    let movements = column_list(
        stock_movement::Column::iter().filter(|column| !matches!(column, stock_movement::Column::Id)),
    );
    format!(
        "WITH stock AS (
            UPDATE products SET on_hand = new.on_hand, reserved = new.reserved, updated_at = new.updated_at
            FROM json_populate_recordset(NULL::products, $1::json) AS new
            WHERE products.id = ANY($6) AND products.id = new.id
        ), fresh AS (
            INSERT INTO reservations ({reservations})
            SELECT {reservations} FROM json_populate_recordset(NULL::reservations, $2::json)
        ), changed AS (
            UPDATE reservations SET state = new.state, fingerprint = new.fingerprint, attempt = new.attempt,
                version = new.version, confirmed = new.confirmed, heard_at = new.heard_at, ask_at = new.ask_at
            FROM json_populate_recordset(NULL::reservations, $3::json) AS new
            WHERE reservations.order_id = ANY($7) AND reservations.order_id = new.order_id
        ), lines AS (
            INSERT INTO reservation_lines ({lines})
            SELECT {lines} FROM json_populate_recordset(NULL::reservation_lines, $4::json)
        )
        INSERT INTO stock_movements ({movements})
        SELECT {movements} FROM json_populate_recordset(NULL::stock_movements, $5::json)"
    )
});

pub(crate) async fn save_postgres(work: &UnitOfWork, transaction: &Transaction) -> Result<(), StoreError> {
    let changed =
        |stored: bool| work.reservations.values().filter(move |row| row.changed && row.stored == stored);
    let products: Vec<ProductStock<'_>> = work
        .products
        .values()
        .filter(|row| row.changed)
        .map(|row| ProductStock {
            id: row.value.id.as_str(),
            on_hand: row.value.on_hand,
            reserved: row.value.reserved,
            updated_at: row.value.updated_at.to_utc(),
        })
        .collect();
    let (fresh, changed) = (reservations(changed(false))?, reservations(changed(true))?);
    let lines_changed = work.reservations.values().filter(|row| row.value.lines_changed);
    let lines: Vec<reservation_line::Model> = lines_changed
        .flat_map(|row| line_columns(&row.value))
        .map(|line| line.try_into_model())
        .collect::<Result<_, DbErr>>()?;
    let movements: Vec<stock_movement::Model> = work
        .movements
        .iter()
        // The statement does not read the id.
        .map(|movement| {
            stock_movement::ActiveModel { id: Set(0), ..movement_columns(movement) }.try_into_model()
        })
        .collect::<Result<_, DbErr>>()?;
    if products.is_empty() && fresh.is_empty() && changed.is_empty() {
        return Ok(());
    }
    delete_replaced_lines(work, transaction).await?;
    let values = [
        json_records(&products)?,
        json_records(&fresh)?,
        json_records(&changed)?,
        json_records(&lines)?,
        json_records(&movements)?,
        array(products.iter().map(|product| product.id.to_owned())),
        array(changed.iter().map(|reservation| reservation.order_id)),
    ];
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, SAVE.as_str(), values);
    transaction.execute_raw(statement).await.map_err(insert_error)?;
    Ok(())
}

fn reservations<'a>(
    rows: impl Iterator<Item = &'a Row<Reservation>>,
) -> Result<Vec<reservation::Model>, DbErr> {
    rows.map(|row| reservation_columns(&row.value).try_into_model()).collect()
}
