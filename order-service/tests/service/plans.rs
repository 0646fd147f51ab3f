//! Every query on a database with 100,000 orders finds its rows by an index.

use std::sync::{Arc, Mutex};

use order_service::queue_metrics;
use order_service::service::relay;
use schema::cursor::{OrderCursor, UpdateCursor};
use schema::domain_error::DomainResult;
use schema::ids::OrderId;
use schema::order::OrderStatus;
use schema::order_messages::{
    AuditPage, Changes, ListOrders, OrderAudited, OrderFilter, OrderPage, OrderScope, Replay, ReplayFrom,
};
use schema::page::Page;
use schema::pattern::{ORDER_AUDIT, ORDER_LIST};
use sea_orm::{ConnectionTrait as _, Statement};

use crate::backends::Mood;
use crate::broker::Broker;
use crate::kit::{OrderService, address, keyed, owner};

/// A database with a past: a thousand customers' orders, most of them delivered, all of their events published.
const PAST: &str = "
    SET statement_timeout = 0;
    INSERT INTO orders (id, customer_id, status, version, fingerprint, attempt, created_by, total_amount, currency,
        shipping_address, created_at, updated_at, deleted_at, fenced, next_try_at, tries)
    SELECT gen_random_uuid(), 'CUST' || n % 1000,
        CASE WHEN n % 100 = 0 THEN 'CANCELLED' WHEN n % 50 = 1 THEN 'PENDING' ELSE 'DELIVERED' END,
        2, 'b3:0', 1, gen_random_uuid(), 1000, 'USD', 'somewhere', now() - n * interval '1 minute', now(),
        CASE WHEN n % 33 = 0 THEN now() END, false,
        CASE WHEN n % 50 = 1 THEN now() + n * interval '1 minute' END, 0
    FROM generate_series(1, 100000) n;
    INSERT INTO order_line_items (id, order_id, position, product_id, product_name, quantity, unit_price)
    SELECT gen_random_uuid(), id, line, 'P' || line, 'Thing', 1, 500 FROM orders, generate_series(0, 1) line;
    INSERT INTO order_events (id, position, order_id, customer_id, version, kind, status, occurred_at, payload,
        published_at)
    SELECT gen_random_uuid(), row_number() OVER (), id, customer_id, step,
        CASE WHEN step = 1 THEN 'CREATED' ELSE 'STATUS_CHANGED' END, status, created_at, '{}', now()
    FROM orders, generate_series(1, 2) step;
    INSERT INTO order_change_answers (request_id, order_id, version, answered_at)
    SELECT gen_random_uuid(), id, 1, now() - interval '1 minute' FROM orders;
    INSERT INTO order_change_answers (request_id, order_id, refusal, answered_at, unknown_order_bucket)
    SELECT gen_random_uuid(), gen_random_uuid(), '{}', now() - n * interval '1 second', n % 1024
    FROM generate_series(1, 100000) n;
    UPDATE order_event_counter SET last_position = 200000;
    ANALYZE";

#[tokio::test]
async fn everything_that_is_asked_of_a_full_database_uses_an_index() {
    let mut service = OrderService::on_postgres().await;
    service.context.database.write().execute_unprepared(PAST).await.unwrap();
    let asked = Arc::new(Mutex::new(Vec::<Statement>::new()));
    let hearing = asked.clone();
    service.context.database = service
        .context
        .database
        .with_observer(move |statement| hearing.lock().unwrap().push(statement.clone()));

    ask_for_everything(&service).await;

    let asked: Vec<Statement> = std::mem::take(&mut *asked.lock().unwrap());
    assert!(asked.len() > 60, "{} statements", asked.len());
    for statement in asked {
        let plan = explain(&service, &statement).await;
        for table in ["orders", "order_line_items", "order_products", "order_events", "order_change_answers"]
        {
            assert!(!plan.contains(&format!("Seq Scan on {table}")), "{}\n{plan}", statement.sql);
        }
        // What is deleted may be sorted: no order and no bucket has more than some two hundred answers.
        let is_page = statement.sql.contains("LIMIT") && !statement.sql.starts_with("DELETE");
        let sorts_much = plan.contains("Sort") && is_page;
        assert!(!sorts_much, "a page is read in order\n{}\n{plan}", statement.sql);
    }
}

async fn ask_for_everything(service: &OrderService) {
    let placed = service.place(keyed("k1", &[("MUG", 1), ("TRAY", 1)])).await.unwrap().order.unwrap();
    service.place(keyed("k1", &[("MUG", 1), ("TRAY", 1)])).await.unwrap();
    service.backends.state().inventory = Mood::Away;
    service.order(&[("MUG", 1)]).await;
    service.backends.state().inventory = Mood::Answers;
    service.retry().await;
    service.update(placed.id, address("2 Hill Road")).await.unwrap();
    service.settle(placed.id, 1).await;
    service.settle(OrderId(uuid::Uuid::now_v7()), 1).await;
    service.get(placed.id).await.unwrap();
    service.history(placed.id).await;
    list_everything(service, &placed).await;
    replay_everything(service, placed.id).await;
    let broker = Broker::new(service.clock.clone());
    let _: OrderAudited = service.ask_one(ORDER_AUDIT, &AuditPage { after: None, limit: 5 }).await;
    queue_metrics::record(&service.context).await.unwrap();
    relay(&service.context, broker.transport("order.1")).tick().await.unwrap();
    queue_metrics::record(&service.context).await.unwrap();
    let _: OrderAudited = service.ask_one(ORDER_AUDIT, &AuditPage { after: Some(placed.id), limit: 5 }).await;
    service.cancel(placed.id).await.unwrap();
    service.cancel(placed.id).await.unwrap();
    service.delete(placed.id).await.unwrap();
    assert!(service.update(placed.id, Changes::default()).await.is_err());
    assert!(service.cancel(OrderId(uuid::Uuid::now_v7())).await.is_err());
}

async fn list_everything(service: &OrderService, order: &schema::order::Order) {
    let customer_id = order.customer_id.clone();
    let cursor = OrderCursor { created_at: order.created_at, order_id: order.id, customer_id }.encode();
    let pages = [
        Page::default(),
        Page { first: Some(50), after: Some(cursor.clone()), ..Page::default() },
        Page { last: Some(50), before: Some(cursor), ..Page::default() },
    ];
    let rare = Some(vec![OrderStatus::Cancelled, OrderStatus::Rejected]);
    for owner in [OrderScope::Any, owner("CUST1")] {
        for statuses in [None, rare.clone()] {
            for page in pages.clone() {
                let reach = if page == Page::default() { owner.clone() } else { OrderScope::Any };
                let question = ListOrders { owner: reach, filter: filter(statuses.clone()), page };
                let page: DomainResult<OrderPage> = service.ask_one(ORDER_LIST, &question).await;
                page.into_result().unwrap();
            }
        }
    }
}

fn filter(statuses: Option<Vec<OrderStatus>>) -> OrderFilter {
    OrderFilter { statuses, ..OrderFilter::default() }
}

async fn replay_everything(service: &OrderService, order_id: OrderId) {
    let point = |version| ReplayFrom::Cursor(UpdateCursor { order_id, version }.encode());
    for after in [None, Some(ReplayFrom::Position(199_990)), Some(point(0)), Some(point(1))] {
        for (owner, order_id) in [
            (OrderScope::Any, None),
            (owner("CUST01"), None),
            (OrderScope::Any, Some(order_id)),
            (owner("CUST01"), Some(order_id)),
        ] {
            let replay = Replay { owner, order_id, after: after.clone(), limit: 5 };
            // The past has no payloads: reading them fails, after they were asked for.
            let _ = service.request::<_, serde_json::Value>(schema::pattern::ORDER_REPLAY, &[replay]).await;
        }
    }
}

async fn explain(service: &OrderService, statement: &Statement) -> String {
    let explain = Statement { sql: format!("EXPLAIN {}", statement.sql), ..statement.clone() };
    let rows = service.context.database.read().query_all_raw(explain).await.unwrap();
    rows.iter().map(|row| row.try_get::<String>("", "QUERY PLAN").unwrap() + "\n").collect()
}
