//! The one statement that inserts orders, line items and first events into PostgreSQL.

use std::collections::HashSet;
use std::sync::LazyLock;

use schema::ids::OrderId;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::ArrayType;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Iterable as _, Statement, TryIntoModel as _, Value};
use store::StoreError;
use store::bulk::{column_list, json_records};

use super::{NewOrder, line_columns};
use crate::tables::{line_item, order, order_event};

/// Parameters: orders to insert, the line items and the events of all orders, each as records, and the ids of the orders
/// that have replaced a fence.
///
/// The counter is the last to be locked, after every order was inserted: who holds it waits for nothing else, so that there
/// is no deadlock.
static INSERT: LazyLock<String> = LazyLock::new(|| {
    let (orders, lines) = (column_list(order::Column::iter()), column_list(line_item::Column::iter()));
    // The sequence comes from its default, the position from the counter.
    let events = column_list(order_event::Column::iter().filter(|column| {
        !matches!(
            column,
            order_event::Column::Seq | order_event::Column::Position | order_event::Column::PublishedAt
        )
    }));
    format!(
        "WITH fresh AS (
            INSERT INTO orders ({orders})
            SELECT {orders} FROM json_populate_recordset(NULL::orders, $1::json)
            ON CONFLICT DO NOTHING RETURNING id
        ), stored AS MATERIALIZED (
            SELECT id FROM fresh UNION ALL SELECT unnest($4::uuid[])
        ), numbered AS MATERIALIZED (
            SELECT count(*) AS events FROM stored
            WHERE NOT EXISTS (SELECT 1 FROM order_events WHERE \"position\" IS NULL)
        ), lines AS (
            INSERT INTO order_line_items ({lines})
            SELECT {lines} FROM json_populate_recordset(NULL::order_line_items, $2::json)
            WHERE order_id IN (SELECT id FROM stored)
        ), counter AS (
            UPDATE order_event_counter SET last_position = last_position + (SELECT events FROM numbered)
            WHERE (SELECT events FROM numbered) > 0 RETURNING last_position
        )
        INSERT INTO order_events ({events}, \"position\")
        SELECT {events}, (SELECT last_position FROM counter) - (SELECT events FROM numbered) + row_number() OVER ()
        FROM json_populate_recordset(NULL::order_events, $3::json)
        WHERE order_id IN (SELECT id FROM stored)
        RETURNING order_id"
    )
});

/// Inserts the orders that replace no fence, by ascending id, and line items and events of those that were inserted or have
/// `replaced` one. Returns the ids of both.
pub(super) async fn insert_postgres(
    connection: &impl ConnectionTrait,
    sorted: &[&NewOrder],
    replaced: &HashSet<OrderId>,
) -> Result<HashSet<OrderId>, StoreError> {
    let mut orders: Vec<order::Model> = Vec::with_capacity(sorted.len());
    let mut lines: Vec<line_item::Model> = Vec::new();
    let mut events: Vec<order_event::Model> = Vec::with_capacity(sorted.len());
    for new_order in sorted {
        if !new_order.over_fence {
            orders.push(new_order.columns()?.try_into_model()?);
        }
        for line in line_columns(&new_order.order) {
            lines.push(line.try_into_model()?);
        }
        // The statement does not read the sequence.
        let event = order_event::ActiveModel { seq: Set(0), ..new_order.event_columns()? };
        events.push(event.try_into_model()?);
    }
    let replaced = replaced.iter().map(|id| Value::from(id.0)).collect();
    let values = [
        json_records(&orders)?,
        json_records(&lines)?,
        json_records(&events)?,
        Value::Array(ArrayType::Uuid, Some(Box::new(replaced))),
    ];
    let statement = Statement::from_sql_and_values(DbBackend::Postgres, INSERT.as_str(), values);
    let inserted = connection.query_all_raw(statement).await?;
    Ok(inserted.iter().map(|row| Ok(OrderId(row.try_get("", "order_id")?))).collect::<Result<_, DbErr>>()?)
}
