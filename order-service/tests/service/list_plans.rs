//! Every list that is offered is read from an index, and a page costs the same however many orders there are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use schema::cursor::OrderCursor;
use schema::domain_error::DomainResult;
use schema::order::OrderStatus;
use schema::order_messages::{ListOrders, OrderFilter, OrderPage, OrderScope};
use schema::page::Page;
use schema::pattern::ORDER_LIST;
use schema::time::Timestamp;
use sea_orm::{ConnectionTrait as _, DbBackend, Statement};
use serde_json::Value;

use crate::kit::{OrderService, owner};

/// When the newest order of the past was placed; each is a minute older than the one before.
const NEWEST: &str = "2026-01-01T00:00:00.000Z";

/// Orders `first` to `last` of the past, by age, with what the triggers would have written for their line items. Every
/// filter names 20 or more of the first ten thousand. Indexes are made anew afterwards, which is faster.
const POSTGRES_PAST: &str = "
    SET statement_timeout = 0;
    CREATE TEMP TABLE indexes AS SELECT indexname, indexdef FROM pg_indexes
        WHERE tablename IN ('orders', 'order_products') AND indexname NOT LIKE '%_pkey';
    DO $$ DECLARE index record; BEGIN FOR index IN SELECT * FROM indexes LOOP
        EXECUTE 'DROP INDEX ' || index.indexname;
    END LOOP; END $$;
    INSERT INTO orders (id, customer_id, status, version, fingerprint, attempt, created_by, total_amount, currency,
        shipping_address, tracking_number, created_at, updated_at, deleted_at, fenced, next_try_at, tries)
    SELECT lpad(to_hex(n), 32, '0')::uuid, 'CUST' || n % 10,
        (ARRAY['CANCELLED', 'SHIPPED', 'PENDING', 'DELIVERED', 'DELIVERED'])[n / 10 % 5 + 1], 2, 'b3:0', 1,
        lpad(to_hex(n), 32, '0')::uuid, 1000, 'USD', 'somewhere', CASE WHEN n % 7 = 0 THEN 'NONE' ELSE 'T' || n END,
        timestamptz '2026-01-01 00:00:00Z' - n * interval '1 minute', now(), CASE WHEN n % 33 = 0 THEN now() END,
        false, CASE WHEN n / 10 % 5 = 2 THEN now() + interval '1 year' END, 0
    FROM generate_series({first}, {last}) n;
    INSERT INTO order_products (order_id, product_id, customer_id, status, created_at)
    SELECT id, CASE WHEN n % 40 = 0 THEN 'RARE' ELSE 'COMMON' END, customer_id, status, created_at
    FROM generate_series({first}, {last}) n JOIN orders ON id = lpad(to_hex(n), 32, '0')::uuid
    WHERE deleted_at IS NULL;
    DO $$ DECLARE index record; BEGIN FOR index IN SELECT * FROM indexes LOOP
        EXECUTE index.indexdef;
    END LOOP; END $$;
    DROP TABLE indexes;
    RESET statement_timeout";

/// The same for SQLite, where the triggers write what they have to.
const SQLITE_PAST: &str = "
    CREATE TEMP TABLE past (n INTEGER PRIMARY KEY, id BLOB);
    WITH RECURSIVE numbers(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM numbers WHERE n < {last})
    INSERT INTO past SELECT n, randomblob(16) FROM numbers;
    INSERT INTO orders (id, customer_id, status, version, fingerprint, attempt, created_by, total_amount, currency,
        shipping_address, tracking_number, created_at, updated_at, deleted_at, fenced, next_try_at, tries)
    SELECT id, 'CUST' || n % 10,
        CASE n / 10 % 5 WHEN 0 THEN 'CANCELLED' WHEN 1 THEN 'SHIPPED' WHEN 2 THEN 'PENDING' ELSE 'DELIVERED' END,
        2, 'b3:0', 1, id, 1000, 'USD', 'somewhere', CASE WHEN n % 7 = 0 THEN 'NONE' ELSE 'T' || n END,
        strftime('%Y-%m-%dT%H:%M:%S+00:00', '2026-01-01 00:00:00', '-' || n || ' minutes'), '{newest}',
        CASE WHEN n % 33 = 0 THEN '{newest}' END, 0, CASE WHEN n / 10 % 5 = 2 THEN '{newest}' END, 0
    FROM past;
    INSERT INTO order_line_items (id, order_id, position, product_id, product_name, quantity, unit_price)
    SELECT id, id, 0, CASE WHEN n % 40 = 0 THEN 'RARE' ELSE 'COMMON' END, 'Thing', 1, 500 FROM past;
    DROP TABLE past";

struct Past {
    service: OrderService,
    statements: Arc<Mutex<Vec<Statement>>>,
    orders: u32,
}

impl Past {
    fn of(mut service: OrderService) -> Self {
        let statements = Arc::new(Mutex::new(Vec::<Statement>::new()));
        let observed = statements.clone();
        service.context.database = service
            .context
            .database
            .with_observer(move |statement| observed.lock().unwrap().push(statement.clone()));
        Self { service, statements, orders: 0 }
    }

    /// Adds older orders until there are so many.
    async fn grows_to(&mut self, orders: u32) {
        let on_sqlite = self.service.is_on_sqlite();
        let sql = if on_sqlite { SQLITE_PAST } else { POSTGRES_PAST };
        let sql = sql.replace("{newest}", NEWEST);
        let sql =
            sql.replace("{first}", &(self.orders + 1).to_string()).replace("{last}", &orders.to_string());
        let writer = self.service.context.database.write();
        writer.execute_unprepared(&sql).await.unwrap();
        if !on_sqlite {
            writer.execute_unprepared("VACUUM ANALYZE orders").await.unwrap();
            writer.execute_unprepared("VACUUM ANALYZE order_products").await.unwrap();
        }
        self.orders = orders;
    }

    /// Requests every list, and returns the statement that read its page.
    async fn lists(&self) -> Vec<(ListOrders, Statement)> {
        let mut lists = Vec::new();
        for list in all_lists() {
            self.statements.lock().unwrap().clear();
            let page: DomainResult<OrderPage> = self.service.ask_one(ORDER_LIST, &list).await;
            page.into_result().unwrap();
            let statements = std::mem::take(&mut *self.statements.lock().unwrap());
            let mut paging = statements.into_iter().filter(|statement| statement.sql.contains("LIMIT"));
            lists.push((list, paging.next().unwrap()));
            assert_eq!(paging.next(), None, "one statement reads a page");
        }
        lists
    }

    async fn explain(&self, how: &str, statement: &Statement) -> Vec<sea_orm::QueryResult> {
        let explain = Statement { sql: format!("{how} {}", statement.sql), ..statement.clone() };
        self.service.context.database.read().query_all_raw(explain).await.unwrap()
    }
}

/// Every combination of filters that is offered, from either end and from a cursor.
fn all_lists() -> Vec<ListOrders> {
    let newest: Timestamp = NEWEST.parse().unwrap();
    let minutes = |minutes: u64| newest.minus(std::time::Duration::from_secs(60 * minutes));
    let (order_id, customer_id) = (schema::ids::OrderId(uuid::Uuid::nil()), "CUST0".parse().unwrap());
    let cursor = Some(OrderCursor { created_at: minutes(3_000), order_id, customer_id }.encode());
    let pages = [
        Page::default(),
        Page { last: Some(20), ..Page::default() },
        Page { first: Some(20), after: cursor.clone(), ..Page::default() },
        Page { last: Some(20), before: cursor, ..Page::default() },
    ];
    let of_product =
        |id: &str| OrderFilter { product_id: Some(id.parse().unwrap()), ..OrderFilter::default() };
    let of_number =
        |number: &str| OrderFilter { tracking_number: Some(number.to_owned()), ..OrderFilter::default() };
    let filters = [
        OrderFilter::default(),
        of_product("COMMON"),
        of_product("RARE"),
        of_number("NONE"),
        of_number("T10"),
    ];
    let mut lists = Vec::new();
    for owner in [OrderScope::Any, owner("CUST0")] {
        for filter in &filters {
            for statuses in [
                None,
                Some(vec![OrderStatus::Cancelled]),
                Some(vec![OrderStatus::Cancelled, OrderStatus::Shipped]),
            ] {
                for (placed_from, placed_before) in [(None, None), (Some(minutes(5_000)), Some(minutes(100)))]
                {
                    for page in &pages {
                        let filter = OrderFilter {
                            statuses: statuses.clone(),
                            placed_from,
                            placed_before,
                            ..filter.clone()
                        };
                        lists.push(ListOrders { owner: owner.clone(), filter, page: page.clone() });
                    }
                }
            }
        }
    }
    lists
}

#[tokio::test]
async fn on_sqlite_with_100_000_orders_every_list_is_read_in_order_from_an_index() {
    let mut past = Past::of(OrderService::on_sqlite().await);
    past.grows_to(100_000).await;
    for (list, statement) in past.lists().await {
        let rows = past.explain("EXPLAIN QUERY PLAN", &statement).await;
        let plan: Vec<String> = rows.iter().map(|row| row.try_get("", "detail").unwrap()).collect();
        for step in &plan {
            // Scanned are subqueries that yield a page's rows, and the index of all orders from its end; a table is
            // searched.
            let scans = step.starts_with("SCAN orders") && !step.ends_with("USING INDEX orders_by_age");
            assert!(!scans && !step.contains("TEMP B-TREE"), "{list:?}\n{plan:#?}\n{}", statement.sql);
        }
        let has_times = list.filter.placed_from.is_some();
        let bounded = plan.iter().all(|step| !step.contains("INDEX order") || step.contains("created_at"));
        assert!(!has_times || bounded, "the times bound the range\n{plan:#?}");
    }
}

/// What reading a page took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cost {
    /// Rows that scans returned or dropped.
    rows: u64,
    /// Blocks that were looked at, in memory or on disk.
    blocks: u64,
}

#[tokio::test]
async fn on_postgres_a_page_of_1_000_000_orders_costs_what_one_of_10_000_does() {
    let mut past = Past::of(OrderService::on_postgres().await);
    assert_eq!(past.service.context.database.backend(), DbBackend::Postgres);
    past.grows_to(10_000).await;
    let few = costs(&past).await;
    past.grows_to(100_000).await;
    costs(&past).await;
    past.grows_to(1_000_000).await;
    for (list, many) in costs(&past).await {
        // An index may be a level higher, and a page that was not full may be.
        let few = few[&list];
        assert!(many.blocks <= 20 + 2 * few.blocks, "{few:?} {many:?} {list}");
    }
}

/// The cost of every list's page, which is bounded.
async fn costs(past: &Past) -> BTreeMap<String, Cost> {
    let mut costs = BTreeMap::new();
    for (list, statement) in past.lists().await {
        let rows = past.explain("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)", &statement).await;
        let plan: Value = rows[0].try_get("", "QUERY PLAN").unwrap();
        let plan = &plan[0]["Plan"];
        let blocks = |name: &str| plan[name].as_u64().unwrap();
        let cost =
            Cost { rows: scanned(plan), blocks: blocks("Shared Hit Blocks") + blocks("Shared Read Blocks") };
        // A key and its order, for each of six statuses: of a range so short PostgreSQL may also sort all of it.
        assert!(cost.rows <= 2 * 6 * 21, "{cost:?} {list:?}\n{plan:#}");
        assert!(past.orders < 100_000 || !has_node(plan, "Seq Scan"), "{list:?}\n{plan:#}");
        costs.insert(format!("{list:?}"), cost);
    }
    costs
}

fn children(plan: &Value) -> impl Iterator<Item = &Value> {
    plan["Plans"].as_array().into_iter().flatten()
}

fn has_node(plan: &Value, node_type: &str) -> bool {
    plan["Node Type"] == node_type || children(plan).any(|child| has_node(child, node_type))
}

fn scanned(plan: &Value) -> u64 {
    let count = |name: &str| plan[name].as_f64().unwrap_or(0.0);
    let is_scan = plan.get("Relation Name").is_some();
    let per_loop =
        count("Actual Rows") + count("Rows Removed by Filter") + count("Rows Removed by Index Recheck");
    let own = if is_scan { (per_loop * count("Actual Loops")).round() as u64 } else { 0 };
    own + children(plan).map(scanned).sum::<u64>()
}
