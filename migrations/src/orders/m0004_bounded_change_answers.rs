//! What keeps `order_change_answers` bounded: for each order the latest answers are kept, and for the orders that don't
//! exist the latest in each of a fixed number of buckets.

use sea_orm::sea_query::{Index, Table};
use sea_orm::{ConnectionTrait as _, DbBackend, DbErr};
use sea_orm_migration::SchemaManager;
use sea_orm_migration::schema::small_integer_null;

use crate::{index, partial};

/// Answers about orders that don't exist have no bucket yet. No copy of their requests can be on its way after an hour.
const POSTGRES_UNKNOWN_ORDERS: &str = "
    DELETE FROM order_change_answers a
    WHERE answered_at < now() - interval '1 hour' AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.id = a.order_id)";
const SQLITE_UNKNOWN_ORDERS: &str = "
    DELETE FROM order_change_answers
    WHERE datetime(answered_at) < datetime('now', '-1 hour')
        AND NOT EXISTS (SELECT 1 FROM orders o WHERE o.id = order_change_answers.order_id)";

pub(crate) async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    // A release that does not know the column inserts answers without a bucket.
    let bucket = small_integer_null("unknown_order_bucket");
    manager.alter_table(Table::alter().table("order_change_answers").add_column(bucket).take()).await?;
    let unknown_orders = match manager.get_database_backend() {
        DbBackend::Sqlite => SQLITE_UNKNOWN_ORDERS,
        _ => POSTGRES_UNKNOWN_ORDERS,
    };
    manager.get_connection().execute_unprepared(unknown_orders).await?;
    let by_age = Index::drop().name("order_change_answers_by_age").table("order_change_answers").to_owned();
    manager.drop_index(by_age).await?;
    let of_order =
        index("order_change_answers", "order_change_answers_of_order", &["order_id", "answered_at"]);
    manager.create_index(of_order).await?;
    let of_bucket = index(
        "order_change_answers",
        "order_change_answers_of_bucket",
        &["unknown_order_bucket", "answered_at"],
    );
    manager.create_index(partial(of_bucket, "unknown_order_bucket IS NOT NULL")).await
}
