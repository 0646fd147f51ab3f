//! Orders in bulk: copies of orders that the system has placed, written with every row that each of them has.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use testkit::Postgres;

/// An order to be asked for.
#[derive(Debug, Clone)]
pub(crate) struct OrderRef {
    pub(crate) id: String,
    /// The number of its customer.
    pub(crate) customer: usize,
}

impl OrderRef {
    pub(crate) fn new(id: &Value, customer_id: &Value) -> Result<Self> {
        let customer = customer_id.as_str().and_then(|id| id.strip_prefix("CUST"));
        let customer = customer.and_then(|number| number.parse().ok());
        Ok(Self {
            id: id.as_str().context("an order without an id")?.to_owned(),
            customer: customer.with_context(|| format!("customer {customer_id} is not the bench's"))?,
        })
    }
}

/// Copies are whole rows with other ids and times, so that columns which the tables gain later are copied too. Each is a
/// second older than the one before, and all are older than the originals. Triggers write `order_products`.
const COPY: &str = r#"
SET synchronous_commit = off;
SET work_mem = '256MB';
CREATE TEMP TABLE originals AS
    SELECT row_number() OVER (ORDER BY id) - 1 AS number, id FROM orders
    WHERE created_at > '2026-01-02 00:00:00Z';
CREATE TEMP TABLE copies AS
    SELECT n, o.id AS original, t.at,
        to_char(t.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS rfc3339,
        (substr(hex, 1, 12) || '7' || substr(digest, 1, 3) || '8' || substr(digest, 4, 15))::uuid AS id
    FROM generate_series({first}::bigint, {last}::bigint) n
    JOIN originals o ON o.number = n % (SELECT count(*) FROM originals)
    CROSS JOIN LATERAL (SELECT timestamptz '2026-01-01 00:00:00Z' - n * interval '1 second' AS at) t
    CROSS JOIN LATERAL (SELECT md5(n::text) AS digest,
        lpad(to_hex((extract(epoch FROM t.at) * 1000)::bigint), 12, '0') AS hex) h;
CREATE INDEX ON copies (original);
ANALYZE copies;
INSERT INTO orders SELECT r.* FROM copies c JOIN orders o ON o.id = c.original CROSS JOIN LATERAL
    jsonb_populate_record(o, jsonb_build_object('id', c.id, 'created_at', c.at, 'updated_at', c.at)) r;
INSERT INTO order_line_items SELECT r.* FROM copies c JOIN order_line_items l ON l.order_id = c.original
    CROSS JOIN LATERAL
    jsonb_populate_record(l, jsonb_build_object('order_id', c.id, 'id', md5(c.id::text || l.product_id)::uuid)) r;
INSERT INTO order_events SELECT r.* FROM copies c JOIN order_events e ON e.order_id = c.original
    CROSS JOIN LATERAL jsonb_populate_record(e, jsonb_build_object(
        'seq', nextval(pg_get_serial_sequence('order_events', 'seq')), 'id', gen_random_uuid(),
        'position', (SELECT last_position FROM order_event_counter) + c.n - {first} + 1,
        'order_id', c.id, 'occurred_at', c.at,
        'payload', e.payload || jsonb_build_object('id', c.id, 'createdAt', c.rfc3339, 'updatedAt', c.rfc3339))) r;
UPDATE order_event_counter SET last_position = last_position + {last} - {first} + 1;
UPDATE checked_order_events SET position = (SELECT last_position FROM order_event_counter);
INSERT INTO reservations SELECT r.* FROM copies c JOIN reservations o ON o.order_id = c.original CROSS JOIN LATERAL
    jsonb_populate_record(o, jsonb_build_object('order_id', c.id)) r;
INSERT INTO reservation_lines SELECT r.* FROM copies c JOIN reservation_lines l ON l.order_id = c.original
    CROSS JOIN LATERAL jsonb_populate_record(l, jsonb_build_object('order_id', c.id)) r;
INSERT INTO stock_movements SELECT r.* FROM (
    SELECT c.id, m, sum(m.reserved_delta) OVER (PARTITION BY m.product_id ORDER BY c.n) AS reserved
    FROM copies c JOIN stock_movements m ON m.order_id = c.original) s
    JOIN products p ON p.id = (s.m).product_id
    CROSS JOIN LATERAL jsonb_populate_record(s.m, jsonb_build_object(
        'id', nextval(pg_get_serial_sequence('stock_movements', 'id')), 'order_id', s.id,
        'on_hand_after', p.on_hand, 'reserved_after', p.reserved + s.reserved)) r;
UPDATE products p SET reserved = p.reserved + s.reserved FROM (
    SELECT m.product_id, sum(m.reserved_delta) AS reserved
    FROM copies c JOIN stock_movements m ON m.order_id = c.original GROUP BY m.product_id) s
    WHERE p.id = s.product_id;
"#;

/// Copies per run, which bounds the temporary tables.
const BATCH: usize = 500_000;

/// How long a run may take.
const COPY_LIMIT: Duration = Duration::from_secs(1_800);

/// Adds copies of the orders in the database until there are so many, of all customers alike. The services that own the
/// tables are stopped meanwhile; everything was PROCESSING, with one event each, and published.
pub(crate) async fn add_copies(postgres: &Postgres, database_url: &str, orders: usize) -> Result<()> {
    let counted = postgres.query(database_url, "SELECT count(*) FROM orders").await?;
    let mut existing: usize = counted.parse()?;
    while existing < orders {
        let last = orders.min(existing + BATCH);
        let sql = COPY.replace("{first}", &(existing + 1).to_string()).replace("{last}", &last.to_string());
        postgres.query_within(database_url, &sql, COPY_LIMIT).await.context("orders can't be copied")?;
        existing = last;
    }
    postgres.query_within(database_url, "VACUUM ANALYZE", COPY_LIMIT).await?;
    Ok(())
}
