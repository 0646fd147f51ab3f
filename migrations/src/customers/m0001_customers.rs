//! Customers.

use sea_orm::DbErr;
use sea_orm::sea_query::Table;
use sea_orm_migration::schema::{string_len, string_len_null, timestamp_with_time_zone};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "0001_customers"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    #[expect(
        elided_lifetimes_in_paths,
        reason = "the trait is declared so, and its macro tells the two apart"
    )]
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
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
}
