//! Products, the state of each order's stock, and the ledger of every movement.

use sea_orm::sea_query::{Expr, Index, Table};
use sea_orm::{DbBackend, DbErr};
use sea_orm_migration::SchemaManager;
use sea_orm_migration::schema::{
    big_integer, big_pk_auto, boolean, string_len, string_len_null, text, timestamp_with_time_zone,
    timestamp_with_time_zone_null, uuid, uuid_null,
};

use crate::{index, partial, reference};

pub(crate) async fn up(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    products(manager).await?;
    reservations(manager).await?;
    reservation_lines(manager).await?;
    stock_movements(manager).await
}

async fn products(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let mut id = string_len("id", 64).primary_key().take();
    if manager.get_database_backend() == DbBackend::Postgres {
        // The catalogue is sorted by bytes, like SQLite and Rust sort, whatever the locale.
        id.extra("COLLATE \"C\"");
    }
    let table = Table::create()
        .table("products")
        .col(id)
        .col(string_len("name", 200))
        .col(text("description"))
        // Name and description in lower case by Unicode's rules, which SQLite's lower() does not know.
        .col(text("search_text"))
        .col(big_integer("unit_price"))
        .col(string_len("currency", 3))
        .col(big_integer("on_hand"))
        .col(big_integer("reserved"))
        .col(big_integer("available_quantity").generated(Expr::cust("on_hand - reserved"), true))
        .col(timestamp_with_time_zone("created_at"))
        .col(timestamp_with_time_zone("updated_at"))
        .check(("products_unit_price", Expr::cust("unit_price >= 0")))
        .check(("products_stock", Expr::cust("reserved >= 0 AND reserved <= on_hand")))
        .take();
    manager.create_table(table).await
}

/// One row for each order: the state of its stock.
async fn reservations(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table("reservations")
        .col(uuid("order_id").primary_key())
        .col(string_len("state", 16))
        .col(string_len("fingerprint", 80))
        .col(big_integer("attempt"))
        .col(big_integer("version"))
        .col(boolean("confirmed"))
        .col(timestamp_with_time_zone("created_at"))
        .col(timestamp_with_time_zone("heard_at"))
        .col(timestamp_with_time_zone_null("ask_at"))
        .check(("reservations_state", Expr::cust("state IN ('held', 'deducted', 'released', 'void')")))
        .check(("reservations_attempt", Expr::cust("attempt >= 0 AND version >= 0")))
        .check(("reservations_ask_at", Expr::cust("(state = 'held') = (ask_at IS NOT NULL)")))
        .take();
    manager.create_table(table).await?;
    let due = index("reservations", "reservations_due", &["ask_at"]);
    manager.create_index(partial(due, "state = 'held'")).await
}

async fn reservation_lines(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table("reservation_lines")
        .col(uuid("order_id"))
        .col(string_len("product_id", 64))
        .col(big_integer("quantity"))
        .col(string_len("product_name", 200))
        .col(big_integer("unit_price"))
        .col(string_len("currency", 3))
        .primary_key(Index::create().name("reservation_lines_pkey").col("order_id").col("product_id"))
        .check(("reservation_lines_quantity", Expr::cust("quantity BETWEEN 1 AND 10000")))
        .foreign_key(&mut reference(
            "reservation_lines_reservation",
            ("reservation_lines", "order_id"),
            ("reservations", "order_id"),
        ))
        .foreign_key(&mut reference(
            "reservation_lines_product",
            ("reservation_lines", "product_id"),
            ("products", "id"),
        ))
        .take();
    manager.create_table(table).await
}

/// The ledger: every movement of stock, with the product's stock right after it.
async fn stock_movements(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let table = Table::create()
        .table("stock_movements")
        .col(big_pk_auto("id"))
        .col(string_len("product_id", 64))
        .col(string_len("kind", 16))
        .col(uuid_null("order_id"))
        .col(uuid_null("adjustment_id"))
        .col(big_integer("on_hand_delta"))
        .col(big_integer("reserved_delta"))
        .col(big_integer("on_hand_after"))
        .col(big_integer("reserved_after"))
        .col(string_len_null("reason", 200))
        .col(timestamp_with_time_zone("created_at"))
        .check((
            "stock_movements_kind",
            Expr::cust("kind IN ('receive', 'write_off', 'reserve', 'release', 'deduct')"),
        ))
        .check(("stock_movements_order", Expr::cust("(order_id IS NULL) <> (adjustment_id IS NULL)")))
        .foreign_key(&mut reference(
            "stock_movements_product",
            ("stock_movements", "product_id"),
            ("products", "id"),
        ))
        .take();
    manager.create_table(table).await?;
    let once = index("stock_movements", "stock_movements_once", &["adjustment_id"]).unique().take();
    manager.create_index(once).await?;
    // Covers the sum of a product's movements.
    let sums =
        index("stock_movements", "stock_movements_sums", &["product_id", "on_hand_delta", "reserved_delta"]);
    manager.create_index(sums).await
}
