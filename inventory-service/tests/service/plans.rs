//! Every query that runs often finds its rows by an index, on a database with enough of them.

use std::sync::{Arc, Mutex};

use schema::inventory_messages::Reserved;
use schema::order::OrderStatus::{Processing, Shipped};
use sea_orm::{ConnectionTrait as _, Statement};
use store::Database;

use crate::kit::{InventoryService, event, fresh_order, reserve};

/// 5,000 products, and so many orders' reservations with their lines and movements.
fn past(reservations: u32) -> String {
    format!(
        "INSERT INTO products (id, name, description, search_text, unit_price, currency, on_hand, reserved, created_at, updated_at)
        SELECT 'P' || n, 'p', 'd', 'p', 1, 'USD', 1000000, 0, now(), now() FROM generate_series(1, 5000) n;
        INSERT INTO reservations (order_id, state, fingerprint, attempt, version, confirmed, created_at, heard_at, ask_at)
        SELECT gen_random_uuid(), CASE WHEN n % 50 = 0 THEN 'held' ELSE 'deducted' END, 'f', 1, 1, true, now(), now(),
               CASE WHEN n % 50 = 0 THEN now() + n * interval '1 s' END FROM generate_series(1, {reservations}) n;
        INSERT INTO reservation_lines (order_id, product_id, quantity, product_name, unit_price, currency)
        SELECT order_id, 'P' || (1 + row_number() OVER () % 5000), 1, 'p', 1, 'USD' FROM reservations;
        INSERT INTO stock_movements (product_id, kind, order_id, on_hand_delta, reserved_delta, on_hand_after, reserved_after, created_at)
        SELECT product_id, 'reserve', order_id, 0, 1, 1, 1, now() FROM reservation_lines;
        ANALYZE"
    )
}

async fn explain(database: &Database, statement: &Statement) -> String {
    let explain = Statement { sql: format!("EXPLAIN {}", statement.sql), ..statement.clone() };
    let rows = database.read().query_all_raw(explain).await.unwrap();
    rows.iter().map(|row| row.try_get::<String>("", "QUERY PLAN").unwrap() + "\n").collect()
}

#[tokio::test]
async fn the_queries_of_reserving_and_settling_use_their_indexes() {
    let url = testkit::postgres_database().await;
    let database = Database::connect(&url, std::sync::Arc::new(bus::clock::SystemClock)).await.unwrap();
    migrations::INVENTORY.migrate(&database).await.unwrap();
    database.write().execute_unprepared(&past(50_000)).await.unwrap();
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
        let plan = explain(&database, &Statement::from_string(database.backend(), &sql)).await;
        assert!(plan.contains(index), "{sql}\n{plan}");
    }
}

/// A table of this size is read as a whole by a statement that may look for a hundred of its rows.
#[tokio::test]
async fn orders_are_reserved_and_settled_by_indexes_while_the_tables_are_small() {
    const ITEMS: &[(&str, u32)] = &[("P1", 2), ("P2", 1)];
    let mut service = InventoryService::on_postgres().await;
    service.inventory.database.write().execute_unprepared(&past(5_000)).await.unwrap();
    let asked = Arc::new(Mutex::new(Vec::<Statement>::new()));
    let hearing = Arc::clone(&asked);
    let observer = move |statement: &Statement| hearing.lock().unwrap().push(statement.clone());
    service.inventory.database = service.inventory.database.clone().with_observer(observer);

    let order = fresh_order();
    let reserved = service.reserve(reserve(order, 1, ITEMS)).await;
    assert!(matches!(reserved, Reserved::Reserved { .. }), "{reserved:?}");
    service.tell(&[event(order, 1, Processing, ITEMS)]).await;
    service.tell(&[event(order, 2, Shipped, ITEMS)]).await;

    let asked = std::mem::take(&mut *asked.lock().unwrap());
    assert!(asked.iter().any(|statement| statement.sql.contains("UPDATE reservations")), "{asked:#?}");
    for statement in asked {
        let plan = explain(&service.inventory.database, &statement).await;
        for table in ["products", "reservations", "reservation_lines", "stock_movements"] {
            assert!(!plan.contains(&format!("Seq Scan on {table}")), "{}\n{plan}", statement.sql);
        }
    }
}
