//! What lists by product, by tracking number and of all customers read.
//!
//! `order_products` repeats, for each line item of a readable order, what such a list filters and sorts by, so that a page
//! is a range of one index. Triggers keep it, in the transaction of each change, whichever release makes the change.

use sea_orm::sea_query::{Index, Table};
use sea_orm::{ConnectionTrait as _, DbBackend, DbErr};
use sea_orm_migration::SchemaManager;
use sea_orm_migration::schema::{string_len, timestamp_with_time_zone, uuid};

use crate::{index, partial};

const BACKFILL: &str = "
    INSERT INTO order_products (order_id, product_id, customer_id, status, created_at)
    SELECT o.id, l.product_id, o.customer_id, o.status, o.created_at
    FROM orders o JOIN order_line_items l ON l.order_id = o.id
    WHERE o.deleted_at IS NULL AND NOT o.fenced";

/// One statement inserts the line items of many orders, so that the trigger runs once for all of them. PostgreSQL keeps
/// the plans of a function's statements, from a time when the tables were empty perhaps: OFFSET and `enable_seqscan` leave
/// it no plan but to look each order up by its key.
const POSTGRES_TRIGGERS: &str = "
    CREATE FUNCTION order_products_insert() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
    BEGIN
        INSERT INTO order_products (order_id, product_id, customer_id, status, created_at)
        SELECT l.order_id, l.product_id, o.customer_id, o.status, o.created_at
        FROM inserted l CROSS JOIN LATERAL (
            SELECT customer_id, status, created_at FROM orders
            WHERE id = l.order_id AND deleted_at IS NULL AND NOT fenced OFFSET 0) o
        ON CONFLICT DO NOTHING;
        RETURN NULL;
    END $$;
    CREATE FUNCTION order_products_update() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
    BEGIN
        IF NEW.deleted_at IS NOT NULL THEN
            DELETE FROM order_products WHERE order_id = NEW.id;
        ELSE
            UPDATE order_products SET status = NEW.status WHERE order_id = NEW.id;
        END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER order_products_update AFTER UPDATE OF status, deleted_at ON orders FOR EACH ROW
        WHEN (OLD.status <> NEW.status OR (OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL))
        EXECUTE FUNCTION order_products_update();
    CREATE TRIGGER order_products_insert AFTER INSERT ON order_line_items
        REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION order_products_insert()";

const SQLITE_TRIGGERS: &str = "
    CREATE TRIGGER order_products_update AFTER UPDATE OF status ON orders WHEN OLD.status <> NEW.status
    BEGIN
        UPDATE order_products SET status = NEW.status WHERE order_id = NEW.id;
    END;
    CREATE TRIGGER order_products_delete AFTER UPDATE OF deleted_at ON orders
        WHEN OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL
    BEGIN
        DELETE FROM order_products WHERE order_id = NEW.id;
    END;
    CREATE TRIGGER order_products_insert AFTER INSERT ON order_line_items
    BEGIN
        INSERT INTO order_products (order_id, product_id, customer_id, status, created_at)
        SELECT id, NEW.product_id, customer_id, status, created_at FROM orders
        WHERE id = NEW.order_id AND deleted_at IS NULL AND NOT fenced
        ON CONFLICT DO NOTHING;
    END";

pub(crate) async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    order_products(manager).await?;
    tracked_orders(manager).await?;
    orders_by_age(manager).await
}

async fn order_products(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let sqlite = manager.get_database_backend() == DbBackend::Sqlite;
    let mut table = Table::create()
        .table("order_products")
        .col(uuid("order_id"))
        .col(string_len("product_id", 64))
        .col(string_len("customer_id", 64))
        .col(string_len("status", 16))
        .col(timestamp_with_time_zone("created_at"))
        .primary_key(Index::create().name("order_products_pkey").col("order_id").col("product_id"))
        .take();
    if sqlite {
        table.extra("WITHOUT ROWID");
    }
    manager.create_table(table).await?;
    // Before the rows are copied: creating a trigger keeps writers out until the migration has ended. First of `orders`,
    // which writers lock first as well.
    let triggers = if sqlite { SQLITE_TRIGGERS } else { POSTGRES_TRIGGERS };
    manager.get_connection().execute_unprepared(triggers).await?;
    manager.get_connection().execute_unprepared(BACKFILL).await?;
    for (name, columns) in [
        ("order_products_in_status", &["product_id", "status", "created_at", "order_id"][..]),
        ("order_products_of_customer", &["customer_id", "product_id", "status", "created_at", "order_id"]),
    ] {
        manager.create_index(index("order_products", name, columns)).await?;
    }
    Ok(())
}

async fn tracked_orders(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    for (name, columns) in [
        ("orders_tracked", &["tracking_number", "status", "created_at", "id"][..]),
        ("orders_of_customer_tracked", &["customer_id", "tracking_number", "status", "created_at", "id"]),
    ] {
        let which = "deleted_at IS NULL AND NOT fenced AND tracking_number IS NOT NULL";
        manager.create_index(partial(index("orders", name, columns), which)).await?;
    }
    Ok(())
}

/// The index of all orders under another predicate, which says the same: only a list of all orders repeats it. PostgreSQL
/// took the index before for lists by status as well, whose orders may all be old, and walked past every newer order. No
/// release before asked for a list of all orders.
async fn orders_by_age(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    manager.drop_index(Index::drop().name("orders_newest").table("orders").to_owned()).await?;
    let by_age = index("orders", "orders_by_age", &["created_at", "id"]);
    manager.create_index(partial(by_age, "deleted_at IS NULL AND version > 0")).await
}
