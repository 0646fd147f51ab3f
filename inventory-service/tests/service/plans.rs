//! Every query that runs often finds its rows by an index, on a database with enough of them.

use sea_orm::{ConnectionTrait as _, Statement};
use store::Database;

async fn explain(database: &Database, sql: &str) -> String {
    let statement = Statement::from_string(database.backend(), format!("EXPLAIN {sql}"));
    let rows = database.read().query_all_raw(statement).await.unwrap();
    rows.iter().map(|row| row.try_get::<String>("", "QUERY PLAN").unwrap() + "\n").collect()
}

#[tokio::test]
async fn the_queries_of_reserving_and_settling_use_their_indexes() {
    let url = testkit::postgres_database().await;
    let database = Database::connect(&url, std::sync::Arc::new(bus::clock::SystemClock)).await.unwrap();
    migrations::INVENTORY.migrate(&database).await.unwrap();
    let fill = "
        INSERT INTO products (id, name, description, search_text, unit_price, currency, on_hand, reserved, created_at, updated_at)
        SELECT 'P' || n, 'p', 'd', 'p', 1, 'USD', 1000000, 0, now(), now() FROM generate_series(1, 5000) n;
        INSERT INTO reservations (order_id, state, fingerprint, attempt, version, confirmed, created_at, heard_at, ask_at)
        SELECT gen_random_uuid(), CASE WHEN n % 50 = 0 THEN 'held' ELSE 'deducted' END, 'f', 1, 1, true, now(), now(),
               CASE WHEN n % 50 = 0 THEN now() + n * interval '1 s' END FROM generate_series(1, 50000) n;
        INSERT INTO reservation_lines (order_id, product_id, quantity, product_name, unit_price, currency)
        SELECT order_id, 'P' || (1 + row_number() OVER () % 5000), 1, 'p', 1, 'USD' FROM reservations;
        INSERT INTO stock_movements (product_id, kind, order_id, on_hand_delta, reserved_delta, on_hand_after, reserved_after, created_at)
        SELECT product_id, 'reserve', order_id, 0, 1, 1, 1, now() FROM reservation_lines;
        ANALYZE";
    database.write().execute_unprepared(fill).await.unwrap();
    let id = "'00000000-0000-0000-0000-000000000001'";
    for (sql, index) in [
        ("SELECT * FROM products WHERE id IN ('P1', 'P2') ORDER BY id FOR UPDATE".to_owned(), "products_pkey"),
        ("SELECT * FROM products WHERE id > 'P7' ORDER BY id LIMIT 21".to_owned(), "products_pkey"),
        (format!("SELECT * FROM reservations WHERE order_id IN ({id}) FOR UPDATE"), "reservations_pkey"),
        (
            format!("SELECT DISTINCT product_id FROM reservation_lines WHERE order_id IN ({id})"),
            "reservation_lines_pkey",
        ),
        (
            "SELECT order_id FROM reservations WHERE state = 'held' AND ask_at <= now() ORDER BY ask_at LIMIT 100"
                .to_owned(),
            "reservations_due",
        ),
        (
            format!("SELECT adjustment_id FROM stock_movements WHERE adjustment_id IN ({id})"),
            "stock_movements_once",
        ),
    ] {
        let plan = explain(&database, &sql).await;
        assert!(plan.contains(index), "{sql}\n{plan}");
    }
}
