//! gateway, order-service, inventory-service and customer-service on RabbitMQ and PostgreSQL.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use testkit::{Postgres, Process, Program, RabbitMq, free_port, unique};

use super::catalogue::{CUSTOMERS, Catalogue};
use super::gateway::Gateway;
use super::past_orders::{OrderRef, add_copies};
use super::program::program;
use super::token::SECRET;
use crate::usage::{Watched, peak_bytes, reset_peak, resident_bytes};

pub(crate) const PROGRAMS: [&str; 4] = ["gateway", "order-service", "inventory-service", "customer-service"];
/// How long the events of the first orders may take to reach everything.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);

/// The system in four processes or more, with a namespace and a database of its own.
pub(crate) struct FourProcesses<'a> {
    rabbitmq: &'a RabbitMq,
    postgres: &'a Postgres,
    pub(crate) database_url: String,
    namespace: String,
    gateways: Vec<Gateway>,
    processes: Vec<(&'static str, Process)>,
}

impl<'a> FourProcesses<'a> {
    /// Starts a system with this catalogue and so many orders, at least one for each customer, of two items each.
    pub(crate) async fn start(
        rabbitmq: &'a RabbitMq,
        postgres: &'a Postgres,
        catalogue: Catalogue,
        orders: usize,
    ) -> Result<Self> {
        let database_url = postgres.create_database("bench").await?;
        let mut system = Self {
            rabbitmq,
            postgres,
            database_url,
            namespace: unique("bench"),
            gateways: Vec::new(),
            processes: Vec::new(),
        };
        system.start_programs().await?;
        catalogue.import(|arguments| system.waybill(arguments)).await?;
        for number in 0..CUSTOMERS {
            system.gateway().create_order(number, true).await?;
        }
        if orders > CUSTOMERS {
            system.published().await?;
            system.stop_programs().await?;
            add_copies(postgres, &system.database_url, orders).await?;
            system.start_programs().await?;
        }
        Ok(system)
    }

    pub(crate) fn gateway(&self) -> &Gateway {
        &self.gateways[0]
    }

    pub(crate) fn gateways(&self) -> Vec<&Gateway> {
        self.gateways.iter().collect()
    }

    /// Starts another copy of a program; returns when it is ready.
    pub(crate) async fn start_copy(&mut self, name: &'static str) -> Result<()> {
        let (port, admin_port) = (free_port(), free_port());
        let mut program = program(name, &[])?
            .with("RABBITMQ_URL", self.rabbitmq.url())
            .with("BUS_NAMESPACE", &self.namespace)
            .with("ADMIN_PORT", admin_port.to_string())
            .with("SEED", "none");
        program = if name == "gateway" {
            let program = program.with("PORT", port.to_string());
            // Most subscribers are of one customer.
            let program = program.with("MAX_SOCKETS_PER_CUSTOMER", "10000");
            program.with("AUTH_MODE", "mock").with("JWT_SECRET", SECRET)
        } else {
            program.with("DATABASE_URL", &self.database_url)
        };
        let process = program.start();
        process.answers(&format!("127.0.0.1:{admin_port}"), "/readyz").await?;
        if name == "gateway" {
            self.gateways.push(Gateway::at(&format!("127.0.0.1:{port}"))?);
        }
        self.processes.push((name, process));
        Ok(())
    }

    /// Terminates the process of this name that was started first.
    pub(crate) async fn stop_program(&mut self, name: &str) -> Result<()> {
        let found = self.processes.iter().position(|(other, _)| *other == name);
        let (_, process) = self.processes.remove(found.with_context(|| format!("{name} doesn't run"))?);
        let status = process.terminate().await?;
        ensure!(status.success(), "{name}: {status}");
        Ok(())
    }

    /// Every process, RabbitMQ and PostgreSQL.
    pub(crate) fn watched(&self) -> Result<Watched> {
        let mut watched: Watched =
            self.processes.iter().map(|(name, process)| (*name, process.id())).collect();
        watched.push(("RabbitMQ", self.rabbitmq.id().context("RabbitMQ has ended")?));
        watched.push(("PostgreSQL", self.postgres.id().context("PostgreSQL has ended")?));
        Ok(watched)
    }

    /// The process of this name that was started first.
    pub(crate) fn process(&self, name: &str) -> Result<&Process> {
        let found = self.processes.iter().find(|(other, _)| *other == name);
        Ok(&found.with_context(|| format!("{name} doesn't run"))?.1)
    }

    /// Resident memory of the system's own processes together, in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        self.processes.iter().map(|(_, process)| resident_bytes(process.id())).sum()
    }

    /// The peaks of their resident memory, since the last reset.
    pub(crate) fn peak_bytes(&self) -> Result<u64> {
        self.processes.iter().map(|(_, process)| peak_bytes(process.id())).sum()
    }

    pub(crate) fn reset_peak(&self) -> Result<()> {
        self.processes.iter().try_for_each(|(_, process)| reset_peak(process.id()))
    }

    /// The rows of a statement, one a line, columns separated by `|`.
    pub(crate) async fn query(&self, sql: &str) -> Result<String> {
        self.postgres.query(&self.database_url, sql).await
    }

    /// At most so many orders, oldest first.
    pub(crate) async fn oldest_orders(&self, limit: usize) -> Result<Vec<OrderRef>> {
        self.orders(&format!("SELECT id, customer_id FROM orders ORDER BY created_at LIMIT {limit}")).await
    }

    /// The orders whose ids and customers a statement returns.
    pub(crate) async fn orders(&self, sql: &str) -> Result<Vec<OrderRef>> {
        let rows = self.query(sql).await?;
        let order = |row: &str| {
            let (id, customer_id) = row.split_once('|').context("not two columns")?;
            OrderRef::new(&id.into(), &customer_id.into())
        };
        rows.lines().map(order).collect()
    }

    /// `waybill` with these arguments, over the system's broker.
    pub(crate) fn waybill(&self, arguments: &[&str]) -> Result<Program> {
        let waybill = program("waybill", arguments)?;
        Ok(waybill.with("RABBITMQ_URL", self.rabbitmq.url()).with("BUS_NAMESPACE", &self.namespace))
    }

    /// Waits until every order is decided, its event published, and its stock held for good.
    pub(crate) async fn published(&self) -> Result<()> {
        const OPEN: &str = "SELECT (SELECT count(*) FROM orders WHERE status = 'PENDING')
            + (SELECT count(*) FROM order_events WHERE published_at IS NULL)
            + (SELECT count(*) FROM reservations WHERE state = 'held' AND NOT confirmed)";
        let deadline = tokio::time::Instant::now() + SETTLE_LIMIT;
        loop {
            let open = self.query(OPEN).await?;
            if open == "0" {
                return Ok(());
            }
            ensure!(tokio::time::Instant::now() < deadline, "{open} rows are still open");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn start_programs(&mut self) -> Result<()> {
        for name in PROGRAMS.into_iter().rev() {
            self.start_copy(name).await?;
        }
        let address = self.gateway().address.clone();
        self.process("gateway")?.answers(&address, "/readyz").await?;
        self.gateway().settled(SETTLE_LIMIT).await
    }

    async fn stop_programs(&mut self) -> Result<()> {
        self.gateways.clear();
        for (name, process) in self.processes.drain(..).rev() {
            let status = process.terminate().await?;
            ensure!(status.success(), "{name}: {status}");
        }
        Ok(())
    }
}
