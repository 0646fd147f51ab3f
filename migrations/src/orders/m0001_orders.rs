//! Orders, their line items, and their events, which are also the outbox.

use sea_orm::sea_query::{Expr, IndexCreateStatement, Query, Table};
use sea_orm::{ConnectionTrait as _, DbErr};
use sea_orm_migration::SchemaManager;
use sea_orm_migration::schema::{
    big_integer, big_integer_null, big_pk_auto, boolean, integer, json_binary, json_binary_null, pk_uuid,
    string_len, string_len_null, string_null, timestamp_with_time_zone, timestamp_with_time_zone_null, uuid,
    uuid_null,
};

use crate::{index, partial, reference};

const STATUSES: &str = "('PENDING', 'PROCESSING', 'SHIPPED', 'DELIVERED', 'CANCELLED', 'REJECTED')";
/// Excludes deleted orders and fences. Queries repeat it word for word to use the indexes.
const READABLE: &str = "deleted_at IS NULL AND NOT fenced";

pub(crate) async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    orders(manager).await?;
    line_items(manager).await?;
    events(manager).await?;
    counter(manager).await?;
    leases(manager).await
}

async fn orders(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table("orders")
        .col(pk_uuid("id"))
        .col(string_len("customer_id", 64))
        .col(string_len("status", 16))
        .col(big_integer("version"))
        .col(string_len("fingerprint", 80))
        .col(big_integer("attempt"))
        .col(string_len_null("idempotency_key", 255))
        .col(uuid("created_by"))
        .col(big_integer_null("total_amount"))
        .col(string_len_null("currency", 3))
        .col(string_len_null("shipping_address", 500))
        .col(string_len_null("tracking_company", 100))
        .col(string_len_null("tracking_number", 100))
        .col(json_binary_null("rejection"))
        .col(timestamp_with_time_zone("created_at"))
        .col(timestamp_with_time_zone("updated_at"))
        .col(timestamp_with_time_zone_null("deleted_at"))
        .col(boolean("fenced"))
        .col(timestamp_with_time_zone_null("pending_since"))
        .col(timestamp_with_time_zone_null("next_try_at"))
        .col(big_integer("tries"))
        .check(("orders_status", Expr::cust(format!("status IN {STATUSES}"))))
        .check(("orders_version", Expr::cust("version >= 0 AND fenced = (version = 0)")))
        .check(("orders_attempt", Expr::cust("attempt >= 0 AND tries >= 0")))
        .check((
            "orders_total",
            Expr::cust("total_amount >= 0 AND (total_amount IS NULL) = (currency IS NULL)"),
        ))
        .check(("orders_rejection", Expr::cust("(status = 'REJECTED') = (rejection IS NOT NULL)")))
        .check(("orders_pending", Expr::cust("status <> 'PENDING' OR fenced OR next_try_at IS NOT NULL")))
        .take();
    manager.create_table(table).await?;
    // Pages, newest first: of one customer or of all, in any status or in one.
    for (name, columns) in [
        ("orders_of_customer", &["customer_id", "created_at", "id"][..]),
        ("orders_of_customer_in_status", &["customer_id", "status", "created_at", "id"]),
        ("orders_newest", &["created_at", "id"]),
        ("orders_in_status", &["status", "created_at", "id"]),
    ] {
        manager.create_index(partial(index("orders", name, columns), READABLE)).await?;
    }
    let due = partial(
        index("orders", "orders_due", &["next_try_at"]),
        &format!("status = 'PENDING' AND {READABLE}"),
    );
    manager.create_index(due).await
}

async fn line_items(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table("order_line_items")
        .col(pk_uuid("id"))
        .col(uuid("order_id"))
        .col(integer("position"))
        .col(string_len("product_id", 64))
        .col(string_null("product_name"))
        .col(big_integer("quantity"))
        .col(big_integer_null("unit_price"))
        .check(("order_line_items_quantity", Expr::cust("quantity BETWEEN 1 AND 10000")))
        .check((
            "order_line_items_price",
            Expr::cust("unit_price >= 0 AND (unit_price IS NULL) = (product_name IS NULL)"),
        ))
        .foreign_key(&mut reference(
            "order_line_items_order",
            ("order_line_items", "order_id"),
            ("orders", "id"),
        ))
        .take();
    manager.create_table(table).await?;
    let lines = index("order_line_items", "order_line_items_of_order", &["order_id", "position"]);
    manager.create_index(unique(lines)).await?;
    let products = index("order_line_items", "order_line_items_of_product", &["order_id", "product_id"]);
    manager.create_index(unique(products)).await
}

async fn events(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table("order_events")
        .col(big_pk_auto("seq"))
        .col(uuid("id"))
        .col(big_integer_null("position"))
        .col(uuid("order_id"))
        .col(string_len("customer_id", 64))
        .col(big_integer("version"))
        .col(string_len("kind", 32))
        .col(string_len("status", 16))
        .col(string_len_null("previous_status", 16))
        .col(timestamp_with_time_zone("occurred_at"))
        .col(uuid_null("request_id"))
        .col(json_binary("payload"))
        .col(string_len_null("traceparent", 64))
        .col(timestamp_with_time_zone_null("published_at"))
        .check(("order_events_version", Expr::cust("version >= 1")))
        .check((
            "order_events_kind",
            Expr::cust("kind IN ('CREATED', 'STATUS_CHANGED', 'DETAILS_CHANGED', 'DELETED')"),
        ))
        .check((
            "order_events_status",
            Expr::cust(format!(
                "status IN {STATUSES} AND (previous_status IS NULL OR previous_status IN {STATUSES})"
            )),
        ))
        .check(("order_events_published", Expr::cust("published_at IS NULL OR position IS NOT NULL")))
        .foreign_key(&mut reference("order_events_order", ("order_events", "order_id"), ("orders", "id")))
        .take();
    manager.create_table(table).await?;
    for (name, columns) in [
        ("order_events_id", &["id"][..]),
        ("order_events_position", &["position"]),
        ("order_events_request", &["request_id"]),
        ("order_events_version_of_order", &["order_id", "version"]),
    ] {
        manager.create_index(unique(index("order_events", name, columns))).await?;
    }
    // Replays of one order and of one customer.
    for (name, columns) in [
        ("order_events_of_order", &["order_id", "position"][..]),
        ("order_events_of_customer", &["customer_id", "position"]),
    ] {
        manager.create_index(index("order_events", name, columns)).await?;
    }
    // The outbox: partial indexes stay short however long the table grows.
    for (name, column, which) in [
        ("order_events_unnumbered", "seq", "position IS NULL"),
        ("order_events_unpublished", "position", "published_at IS NULL"),
    ] {
        manager.create_index(partial(index("order_events", name, &[column]), which)).await?;
    }
    Ok(())
}

/// One row: the last position, and the position through which events were pruned.
async fn counter(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table("order_event_counter")
        .col(integer("id").primary_key())
        .col(big_integer("last_position"))
        .col(big_integer("pruned_through"))
        .check(("order_event_counter_single", Expr::cust("id = 1")))
        .take();
    manager.create_table(table).await?;
    let row = Query::insert()
        .into_table("order_event_counter")
        .columns(["id", "last_position", "pruned_through"])
        .values_panic([1.into(), 0_i64.into(), 0_i64.into()])
        .take();
    manager.get_connection().execute(&row).await?;
    Ok(())
}

/// Which copy of the service does a job that one at a time should do.
async fn leases(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table("order_leases")
        .col(string_len("name", 64).primary_key())
        .col(string_len("owner", 128))
        .col(timestamp_with_time_zone("expires_at"))
        .take();
    manager.create_table(table).await?;
    let row = Query::insert()
        .into_table("order_leases")
        .columns(["name", "owner", "expires_at"])
        // Expired, whatever time it is by the clock of leases.
        .values_panic(["relay".into(), "".into(), Expr::cust("'1970-01-01 00:00:00+00:00'")])
        .take();
    manager.get_connection().execute(&row).await?;
    Ok(())
}

fn unique(mut index: IndexCreateStatement) -> IndexCreateStatement {
    index.unique().take()
}
