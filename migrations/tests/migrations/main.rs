//! Migrations on both databases.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use bus::clock::SystemClock;
use migrations::MigrateError;
use sea_orm::{ConnectionTrait as _, DbBackend, Statement};
use store::Database;
use testkit::{PgBouncer, Postgres};

async fn connect(url: &str) -> Database {
    Database::connect(url, Arc::new(SystemClock)).await.unwrap()
}

async fn migrate_all(database: &Database) -> Result<(), MigrateError> {
    migrations::ORDERS.migrate(database).await?;
    migrations::INVENTORY.migrate(database).await?;
    migrations::CUSTOMERS.migrate(database).await
}

/// Several copies start at once, over connections of their own, on one database.
async fn start_many_at_once(url: &str) {
    let copies = (0..4).map(|_| async {
        let database = connect(url).await;
        migrate_all(&database).await.unwrap();
        database.close().await;
    });
    futures::future::join_all(copies).await;
    let database = connect(url).await;
    migrate_all(&database).await.unwrap();
}

#[tokio::test]
async fn copies_that_start_at_once_migrate_postgres_once() {
    start_many_at_once(&testkit::postgres_database().await).await;
}

#[tokio::test]
async fn copies_that_start_at_once_migrate_sqlite_once() {
    let folder = tempfile::tempdir().unwrap();
    start_many_at_once(&format!("sqlite://{}/all.db", folder.path().display())).await;
}

#[tokio::test]
async fn copies_that_start_at_once_migrate_through_a_pooler_once() {
    let url = testkit::postgres_database().await;
    let bouncer = PgBouncer::start(&url, "transaction").await.unwrap();
    start_many_at_once(&format!("{}?pool_mode=transaction", bouncer.url(&url))).await;
}

/// The URL of a role of this name, which may do nothing yet.
async fn new_role(server: &Postgres, url: &str, name: &str) -> String {
    server.query(url, &format!("CREATE ROLE {name} LOGIN")).await.unwrap();
    url.replacen("postgres@", &format!("{name}@"), 1)
}

#[tokio::test]
async fn a_role_that_may_only_read_and_write_rows_finds_tables_that_are_up_to_date() {
    let server = Postgres::start().await.unwrap();
    let url = server.create_database("shop").await.unwrap();
    let shop = new_role(&server, &url, "shop").await;

    let without_tables = migrate_all(&connect(&shop).await).await.unwrap_err().to_string();
    assert!(
        without_tables.contains("the tables of orders are not up to date (pending: 0001_orders, "),
        "{without_tables}"
    );
    assert!(without_tables.contains("permission denied for schema public"), "{without_tables}");
    assert!(
        without_tables.contains("run `migrations orders` as the role that owns them"),
        "{without_tables}"
    );

    migrate_all(&connect(&url).await).await.unwrap();
    let without_grants = migrate_all(&connect(&shop).await).await.unwrap_err().to_string();
    assert!(without_grants.contains("this role lacks SELECT, INSERT, UPDATE or DELETE"), "{without_grants}");

    let grant = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO shop";
    server.query(&url, grant).await.unwrap();
    let database = connect(&shop).await;
    migrate_all(&database).await.unwrap();
    // An event's number comes from the table itself, so that a privilege for tables is enough.
    server
        .query(
            &shop,
            "INSERT INTO orders (id, customer_id, status, version, fingerprint, attempt, created_by, created_at, updated_at, fenced, tries) \
             VALUES (gen_random_uuid(), 'CUST01', 'CANCELLED', 1, '', 0, gen_random_uuid(), now(), now(), false, 0)",
        )
        .await
        .unwrap();
    server
        .query(
            &shop,
            "INSERT INTO order_events (id, order_id, customer_id, version, kind, status, occurred_at, payload) \
             SELECT gen_random_uuid(), id, customer_id, 1, 'CREATED', status, now(), '{}' FROM orders",
        )
        .await
        .unwrap();

    server.query(&url, "DELETE FROM order_migrations WHERE version = '0002_change_answers'").await.unwrap();
    let pending = migrate_all(&database).await.unwrap_err();
    assert!(
        matches!(&pending, MigrateError::NotAllowed { pending, .. } if pending == "0002_change_answers"),
        "{pending}"
    );
}

#[tokio::test]
async fn the_program_refuses_a_wrong_url_with_code_2() {
    let program = testkit::Program::new(env!("CARGO_BIN_EXE_migrations"), &["orders"]);
    for (url, words) in [
        ("postgres://me:hunter2@db/waybill?sslmode=full", "sslmode=full is not one of disable, allow"),
        (
            "postgres://me:hunter2@db/waybill?sslmode=verify-full&sslrootcert=/nowhere",
            "/nowhere can't be read",
        ),
    ] {
        let ran = program.clone().with("DATABASE_URL", url).run().await;
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains("DATABASE_URL") && ran.stderr.contains(words), "{ran:?}");
        assert!(!ran.stderr.contains("hunter2"), "{ran:?}");
    }
}

#[tokio::test]
async fn the_program_takes_an_empty_variable_for_one_that_is_not_set() {
    let program = testkit::Program::new(env!("CARGO_BIN_EXE_migrations"), &["orders"]);
    let unset = program.clone().run().await;
    assert_eq!(unset.code, 2, "{unset:?}");
    assert!(unset.stderr.contains("--database-url"), "{unset:?}");
    for empty in ["", " "] {
        let ran = program.clone().with("DATABASE_URL", empty).run().await;
        assert_eq!((ran.code, &ran.stderr), (unset.code, &unset.stderr));
    }
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/orders.db", folder.path().display());
    let flag = testkit::Program::new(env!("CARGO_BIN_EXE_migrations"), &["orders", "--database-url", &url]);
    let ran = flag.with("DATABASE_URL", "").run().await;
    assert_eq!(ran.code, 0, "{ran:?}");
}

async fn progress_is_reported(url: &str) {
    let database = connect(url).await;
    let before = migrations::ORDERS.progress(&database).await.unwrap();
    assert_eq!(before.applied, 0);
    assert!(!before.pending.is_empty());
    migrations::ORDERS.migrate(&database).await.unwrap();
    let after = migrations::ORDERS.progress(&database).await.unwrap();
    assert_eq!((after.applied, after.pending), (before.pending.len(), Vec::new()));
    let elsewhere = migrations::INVENTORY.progress(&database).await.unwrap();
    assert_eq!(elsewhere.applied, 0, "asking applies nothing");
}

#[tokio::test]
async fn how_far_postgres_has_come_is_reported() {
    progress_is_reported(&testkit::postgres_database().await).await;
}

#[tokio::test]
async fn how_far_sqlite_has_come_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    progress_is_reported(&format!("sqlite://{}/all.db", folder.path().display())).await;
}

/// Takes the migration away, with what it made: the tables of the release before it.
const BEFORE_ORDER_FILTERS: &str = "
    DROP TABLE order_products;
    DROP INDEX orders_tracked;
    DROP INDEX orders_of_customer_tracked;
    DROP INDEX orders_by_age;
    CREATE INDEX orders_newest ON orders (created_at, id) WHERE deleted_at IS NULL AND NOT fenced;
    DELETE FROM order_migrations WHERE version = '0003_order_filters';";
const POSTGRES_TRIGGERS: &str = "
    DROP FUNCTION order_products_insert() CASCADE;
    DROP FUNCTION order_products_update() CASCADE";
const SQLITE_TRIGGERS: &str = "
    DROP TRIGGER order_products_insert;
    DROP TRIGGER order_products_update;
    DROP TRIGGER order_products_delete";

/// An order as the release before inserts it, with a line item of each product.
async fn insert_order(database: &Database, order: u8, status: &str, hidden: &str, products: &[&str]) {
    let id = |number: u8| match database.backend() {
        DbBackend::Sqlite => format!("x'{number:032x}'"),
        _ => format!("'{number:032x}'"),
    };
    let (order_id, fenced) = (id(order), hidden == "fenced");
    let deleted_at = if hidden == "deleted" { "CURRENT_TIMESTAMP" } else { "NULL" };
    let version = u8::from(!fenced);
    let mut sql = format!(
        "INSERT INTO orders (id, customer_id, status, version, fingerprint, attempt, created_by, created_at, updated_at, \
         deleted_at, fenced, next_try_at, tries) VALUES ({order_id}, 'CUST01', '{status}', {version}, '', 1, {order_id}, \
         CURRENT_TIMESTAMP, CURRENT_TIMESTAMP, {deleted_at}, {fenced}, CURRENT_TIMESTAMP, 0);"
    );
    for (position, product) in products.iter().enumerate() {
        let line = id(order * 10 + position as u8);
        sql += &format!(
            "INSERT INTO order_line_items (id, order_id, position, product_id, quantity) \
             VALUES ({line}, {order_id}, {position}, '{product}', 1);"
        );
    }
    database.write().execute_unprepared(&sql).await.unwrap();
}

/// Product and status of each row, sorted.
async fn rows_by_product(database: &Database) -> Vec<String> {
    let sql = "SELECT product_id || ' ' || status AS shown FROM order_products ORDER BY product_id, status";
    let rows = database.read().query_all_raw(Statement::from_string(database.backend(), sql)).await.unwrap();
    rows.iter().map(|row| row.try_get("", "shown").unwrap()).collect()
}

/// A rolling restart: orders from before the migration, and changes by copies that don't know of it.
async fn the_release_before_writes_rows_by_product(url: &str) {
    let database = connect(url).await;
    migrations::ORDERS.migrate(&database).await.unwrap();
    let triggers = if database.backend() == DbBackend::Sqlite { SQLITE_TRIGGERS } else { POSTGRES_TRIGGERS };
    database.write().execute_unprepared(&format!("{triggers};{BEFORE_ORDER_FILTERS}")).await.unwrap();
    assert_eq!(migrations::ORDERS.progress(&database).await.unwrap().pending, ["0003_order_filters"]);
    insert_order(&database, 1, "PENDING", "", &["A", "B"]).await;
    insert_order(&database, 2, "CANCELLED", "deleted", &["A"]).await;
    insert_order(&database, 3, "PENDING", "fenced", &[]).await;

    migrations::ORDERS.migrate(&database).await.unwrap();
    assert_eq!(rows_by_product(&database).await, ["A PENDING", "B PENDING"]);
    insert_order(&database, 4, "PROCESSING", "", &["A", "C"]).await;
    assert_eq!(rows_by_product(&database).await, ["A PENDING", "A PROCESSING", "B PENDING", "C PROCESSING"]);
    let ships = "UPDATE orders SET status = 'SHIPPED', version = 2 WHERE status = 'PROCESSING'";
    database.write().execute_unprepared(ships).await.unwrap();
    assert_eq!(rows_by_product(&database).await, ["A PENDING", "A SHIPPED", "B PENDING", "C SHIPPED"]);
    let deletes = "UPDATE orders SET deleted_at = CURRENT_TIMESTAMP WHERE status = 'PENDING' AND NOT fenced";
    database.write().execute_unprepared(deletes).await.unwrap();
    assert_eq!(rows_by_product(&database).await, ["A SHIPPED", "C SHIPPED"]);
}

#[tokio::test]
async fn the_release_before_keeps_rows_by_product_on_postgres() {
    the_release_before_writes_rows_by_product(&testkit::postgres_database().await).await;
}

#[tokio::test]
async fn the_release_before_keeps_rows_by_product_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    the_release_before_writes_rows_by_product(&format!("sqlite://{}/all.db", folder.path().display())).await;
}

/// Takes the migration away, with what it made.
const BEFORE_BOUNDED_CHANGE_ANSWERS: &str = "
    DROP INDEX order_change_answers_of_order;
    DROP INDEX order_change_answers_of_bucket;
    ALTER TABLE order_change_answers DROP COLUMN unknown_order_bucket;
    CREATE INDEX order_change_answers_by_age ON order_change_answers (answered_at);
    DELETE FROM order_migrations WHERE version = '0004_bounded_change_answers';";

/// Stores a refusal as the release before does.
async fn insert_answer(database: &Database, request: u8, order: u8, hours_ago: u32) {
    let (hex, at) = match database.backend() {
        DbBackend::Sqlite => {
            ("x", format!("strftime('%Y-%m-%dT%H:%M:%f+00:00', 'now', '-{hours_ago} hours')"))
        }
        _ => ("", format!("now() - interval '{hours_ago} hours'")),
    };
    let sql = format!(
        "INSERT INTO order_change_answers (request_id, order_id, refusal, answered_at) \
         VALUES ({hex}'{request:032x}', {hex}'{order:032x}', '{{}}', {at})"
    );
    database.write().execute_unprepared(&sql).await.unwrap();
}

/// Answers about orders that don't exist are forgotten, except what a copy of a request may still ask for.
async fn the_release_before_stores_answers(url: &str) {
    let database = connect(url).await;
    migrations::ORDERS.migrate(&database).await.unwrap();
    database.write().execute_unprepared(BEFORE_BOUNDED_CHANGE_ANSWERS).await.unwrap();
    insert_order(&database, 1, "PENDING", "", &["A"]).await;
    insert_answer(&database, 1, 1, 48).await;
    insert_answer(&database, 2, 2, 48).await;
    insert_answer(&database, 3, 2, 0).await;

    migrations::ORDERS.migrate(&database).await.unwrap();
    insert_answer(&database, 4, 3, 0).await;
    let sql = match database.backend() {
        DbBackend::Sqlite => "SELECT lower(hex(request_id)) AS id FROM order_change_answers",
        _ => "SELECT replace(request_id::text, '-', '') AS id FROM order_change_answers",
    };
    let rows = database.read().query_all_raw(Statement::from_string(database.backend(), sql)).await.unwrap();
    let mut kept: Vec<String> = rows.iter().map(|row| row.try_get("", "id").unwrap()).collect();
    kept.sort();
    assert_eq!(kept, [1, 3, 4].map(|id| format!("{id:032x}")));
}

#[tokio::test]
async fn answers_of_the_release_before_are_bounded_on_postgres() {
    the_release_before_stores_answers(&testkit::postgres_database().await).await;
}

#[tokio::test]
async fn answers_of_the_release_before_are_bounded_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    the_release_before_stores_answers(&format!("sqlite://{}/all.db", folder.path().display())).await;
}

/// A copy of this release starts after a later release has migrated the tables: in a rolling restart, or rolled back to.
async fn a_later_release_has_migrated(url: &str) {
    let database = connect(url).await;
    migrate_all(&database).await.unwrap();
    let later = "INSERT INTO order_migrations (version, applied_at) VALUES ('9999_later', 0)";
    database.write().execute_unprepared(later).await.unwrap();
    migrate_all(&database).await.unwrap();
    let progress = migrations::ORDERS.progress(&database).await.unwrap();
    assert_eq!(progress.pending, Vec::<String>::new());
}

#[tokio::test]
async fn tables_of_a_later_release_are_taken_as_they_are_on_postgres() {
    a_later_release_has_migrated(&testkit::postgres_database().await).await;
}

#[tokio::test]
async fn tables_of_a_later_release_are_taken_as_they_are_on_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    a_later_release_has_migrated(&format!("sqlite://{}/all.db", folder.path().display())).await;
}
