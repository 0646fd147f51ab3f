//! Customers.

use sea_orm::DbErr;
use sea_orm::sea_query::Table;
use sea_orm_migration::SchemaManager;
use sea_orm_migration::schema::{string_len, string_len_null, timestamp_with_time_zone};

pub(crate) async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table("customers")
        .col(string_len("id", 64).primary_key())
        .col(string_len("name", 200))
        .col(string_len("email", 200))
        .col(string_len_null("phone", 200))
        .col(string_len("shipping_address", 500))
        .col(timestamp_with_time_zone("created_at"))
        .col(timestamp_with_time_zone("updated_at"))
        .take();
    manager.create_table(table).await
}
