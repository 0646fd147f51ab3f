//! Responses to requests for changes that left no event, for repeats of the request.

use sea_orm::DbErr;
use sea_orm::sea_query::{Expr, Table};
use sea_orm_migration::SchemaManager;
use sea_orm_migration::schema::{
    big_integer_null, json_binary_null, pk_uuid, timestamp_with_time_zone, uuid,
};

use crate::index;

pub(crate) async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
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
    let age = index("order_change_answers", "order_change_answers_by_age", &["answered_at"]);
    manager.create_index(age).await
}
