//! Products that are withdrawn from the catalogue, how far order events were checked, and the ledger by time.

use sea_orm::DbErr;
use sea_orm::sea_query::Table;
use sea_orm_migration::SchemaManager;
use sea_orm_migration::schema::{big_integer, boolean, integer};

use crate::index;

pub(crate) async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    // A release that does not know the column inserts products that are not withdrawn.
    let products =
        Table::alter().table("products").add_column(boolean("withdrawn").default(false).take()).take();
    manager.alter_table(products).await?;
    // At most one row: the last position of the order events that were compared with the reservations.
    let checked = Table::create()
        .table("checked_order_events")
        .col(integer("id").primary_key())
        .col(big_integer("position"))
        .take();
    manager.create_table(checked).await?;
    // An audit asks what was available of a product at some time.
    let by_time = index("stock_movements", "stock_movements_by_time", &["product_id", "created_at"]);
    manager.create_index(by_time).await
}
