//! Responses to requests for changes that left no event, for repeats of the request.

use sea_orm::DbErr;
use sea_orm::sea_query::{Expr, Index, Table};
use sea_orm_migration::schema::{
    big_integer_null, json_binary_null, pk_uuid, timestamp_with_time_zone, uuid,
};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

pub(super) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &'static str {
        "0002_change_answers"
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
            .table("order_change_answers")
            .col(pk_uuid("request_id"))
            .col(uuid("order_id"))
            .col(big_integer_null("version"))
            .col(json_binary_null("refusal"))
            .col(timestamp_with_time_zone("answered_at"))
            .check(("order_change_answers_one", Expr::cust("(version IS NULL) <> (refusal IS NULL)")))
            .take();
        manager.create_table(table).await?;
        let age = Index::create()
            .name("order_change_answers_by_age")
            .table("order_change_answers")
            .col("answered_at")
            .take();
        manager.create_index(age).await
    }
}
