//! Changes of orders at a steady rate, made by `pgbench` in order-service's tables as order-service makes them: the next
//! version of each order, and its event in the outbox. order-service publishes them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use testkit::Postgres;
use tokio::process::Command;

use crate::system::OrderRef;

/// Orders that one transaction changes.
const GROUP: usize = 20;
const CHANGE: &str = r#"
WITH changed AS (
    UPDATE orders o SET version = o.version + 1, updated_at = clock_timestamp(),
        shipping_address = (o.version + 1) || ' Pier'
    FROM bench_groups g WHERE g.number = {group} AND o.id = g.order_id RETURNING o.*)
INSERT INTO order_events (id, order_id, customer_id, version, kind, status, occurred_at, payload)
SELECT gen_random_uuid(), c.id, c.customer_id, c.version, 'DETAILS_CHANGED', c.status, c.updated_at,
    e.payload || jsonb_build_object('version', c.version, 'shippingAddress', c.shipping_address,
        'updatedAt', to_char(c.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
FROM changed c JOIN order_events e ON e.order_id = c.id AND e.version = c.version - 1;
"#;

/// Orders in groups that are changed together.
pub(crate) struct ChangeOrders<'a> {
    postgres: &'a Postgres,
    database_url: &'a str,
    folder: TempDir,
}

impl<'a> ChangeOrders<'a> {
    /// Forms groups of these orders.
    pub(crate) async fn prepare(
        postgres: &'a Postgres,
        database_url: &'a str,
        orders: &[OrderRef],
    ) -> Result<Self> {
        let groups = orders.len() / GROUP;
        ensure!(groups * GROUP == orders.len(), "{} orders don't form groups of {GROUP}", orders.len());
        let rows: Vec<String> = orders
            .iter()
            .enumerate()
            .map(|(number, order)| format!("({}, '{}')", number / GROUP, order.id))
            .collect();
        postgres.query(database_url, "CREATE TABLE bench_groups (number bigint, order_id uuid)").await?;
        for rows in rows.chunks(1_000) {
            let insert = format!("INSERT INTO bench_groups VALUES {}", rows.join(", "));
            postgres.query(database_url, &insert).await?;
        }
        postgres.query(database_url, "CREATE INDEX ON bench_groups (number); ANALYZE bench_groups").await?;
        let folder = tempfile::tempdir()?;
        let change = CHANGE.replace("{group}", ":group");
        let script = format!("\\set group random(0, {})\n{}\n", groups - 1, change.trim());
        std::fs::write(folder.path().join("change.sql"), script)?;
        Ok(Self { postgres, database_url, folder })
    }

    /// Changes every order once.
    pub(crate) async fn change_each_once(&self) -> Result<()> {
        let all = CHANGE.replace("g.number = {group} AND", "");
        self.postgres.query(self.database_url, &all).await?;
        Ok(())
    }

    /// Changes orders at this rate for a while; returns how many, and in how many seconds.
    pub(crate) async fn change(&self, per_second: usize, time: Duration) -> Result<(usize, f64)> {
        let rate = per_second / GROUP;
        let transactions = rate * usize::try_from(time.as_secs())?;
        let begin = Instant::now();
        let output = Command::new(self.postgres.program("pgbench"))
            .args(["--no-vacuum", "--client", "1", "--rate", &rate.to_string()])
            .args(["--transactions", &transactions.to_string()])
            .arg("--file")
            .arg(self.folder.path().join("change.sql"))
            .arg(self.database_url)
            .kill_on_drop(true)
            .output()
            .await
            .context("pgbench can't be run (Debian: postgresql)")?;
        ensure!(output.status.success(), "pgbench: {}", String::from_utf8_lossy(&output.stderr));
        Ok((transactions * GROUP, begin.elapsed().as_secs_f64()))
    }
}
