//! T: orders written straight to PostgreSQL by `pgbench`, one at a time on each of 16 connections: the rows that an order has
//! (the order, two line items, their `order_products`, its event) in one transaction, by prepared statements.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;
use testkit::Postgres;
use tokio::process::Command;

use crate::figures::Figures;
use crate::system::{FourProcesses, program};
use crate::usage::{CpuTimes, Watched, ended_children_seconds};

const CONNECTIONS: usize = 16;
const SCRIPT: &str = include_str!("insert.sql");

/// A database with the services' tables, and the script.
pub(crate) struct InsertFloor<'a> {
    postgres: &'a Postgres,
    database_url: String,
    folder: TempDir,
    /// The orders that were written so far bound the next one's ids.
    runs: AtomicU64,
}

impl<'a> InsertFloor<'a> {
    /// Makes the database, and the script from the rows of an order of the system.
    pub(crate) async fn start(postgres: &'a Postgres, system: &FourProcesses<'_>) -> Result<Self> {
        let database_url = postgres.create_database("floor").await?;
        let migrated = program("migrations", &["orders"])?.with("DATABASE_URL", &database_url).run().await;
        ensure!(migrated.code == 0, "{migrated:?}");
        let payload =
            "SELECT replace(payload::text, '''', '''''') FROM order_events ORDER BY seq DESC LIMIT 1";
        let payload = system.query(payload).await?;
        ensure!(
            !payload.contains(':') || !payload.contains(" :"),
            "pgbench would replace a part of {payload}"
        );
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("insert.sql"), SCRIPT.replace("{payload}", &payload))?;
        Ok(Self { postgres, database_url, folder, runs: AtomicU64::new(1) })
    }

    /// Inserts orders for a while.
    pub(crate) async fn run(&self, time: Duration) -> Result<Figures> {
        let watched: Watched = vec![("PostgreSQL", self.postgres.id().context("PostgreSQL has ended")?)];
        let (before, client_before) = (CpuTimes::read(&watched)?, ended_children_seconds()?);
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        let log = self.folder.path().join(format!("log{run}"));
        let output = Command::new(self.postgres.program("pgbench"))
            .args(["--no-vacuum", "--protocol", "prepared", "--jobs", "1"])
            .args(["--client", &CONNECTIONS.to_string(), "--time", &time.as_secs().max(1).to_string()])
            .args(["--define", &format!("n={}", run << 32)])
            .arg("--log")
            .arg(format!("--log-prefix={}", log.display()))
            .arg("--file")
            .arg(self.folder.path().join("insert.sql"))
            .arg(&self.database_url)
            .kill_on_drop(true)
            .output()
            .await
            .context("pgbench can't be run (Debian: postgresql)")?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(output.status.success(), "pgbench: {}", String::from_utf8_lossy(&output.stderr));
        let rate = text.lines().find_map(|line| line.strip_prefix("tps = "));
        let rate = rate.and_then(|rate| rate.split_whitespace().next()).context("pgbench printed no rate")?;
        let latencies = self.latencies(&log)?;
        let mut cpu = CpuTimes::read(&watched)?.since(&before);
        cpu.insert("client", ended_children_seconds()? - client_before);
        let figures = Figures { per_second: Some(rate.parse()?), ..Figures::default() };
        Ok(figures.with_cpu(&cpu, latencies.len()).with_latencies(latencies))
    }

    /// The milliseconds of each transaction, from the third column of the log, in microseconds.
    fn latencies(&self, prefix: &std::path::Path) -> Result<Vec<f64>> {
        let prefix = prefix.file_name().and_then(|name| name.to_str()).context("a prefix that is no text")?;
        let mut latencies = Vec::new();
        for entry in std::fs::read_dir(self.folder.path())? {
            let path = entry?.path();
            if !path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(prefix)) {
                continue;
            }
            for line in std::fs::read_to_string(&path)?.lines() {
                let microseconds = line.split(' ').nth(2).context("a log line of another form")?;
                latencies.push(microseconds.parse::<f64>()? / 1e3);
            }
            std::fs::remove_file(path)?;
        }
        Ok(latencies)
    }
}
