//! gateway, order-service, inventory-service and customer-service on RabbitMQ and PostgreSQL.

use std::collections::BTreeMap;

use testkit::{Process, free_port, postgres_database, rabbitmq_url, unique};

use super::program::{Program, SECRET, ends_well};
use super::{Shop, StockBook};

const PROGRAMS: [&str; 4] = ["gateway", "order-service", "customer-service", "inventory-service"];

/// A shop in four processes, with a namespace and a database of its own.
pub(crate) struct FourProcesses {
    rabbitmq_url: String,
    database_url: String,
    namespace: String,
    gateway_port: u16,
    admin_ports: BTreeMap<&'static str, u16>,
    running: BTreeMap<&'static str, Process>,
}

impl FourProcesses {
    /// A shop that has never been open.
    pub(crate) async fn new() -> Self {
        Self {
            rabbitmq_url: rabbitmq_url().await,
            database_url: postgres_database().await,
            namespace: unique("shop"),
            gateway_port: free_port(),
            admin_ports: PROGRAMS.iter().map(|program| (*program, free_port())).collect(),
            running: BTreeMap::new(),
        }
    }

    /// Opens the shop: every process at once, in whatever order they get to it.
    pub(crate) async fn open(&mut self) -> Shop {
        for program in PROGRAMS {
            self.running.insert(program, self.program(program).start());
        }
        for program in PROGRAMS {
            self.ready(program).await;
        }
        let address = format!("127.0.0.1:{}", self.gateway_port);
        self.running["gateway"].answers(&address, "/readyz").await.unwrap();
        Shop::at(&address)
    }

    /// Starts one process again, and waits until it is ready.
    pub(crate) async fn start(&mut self, program: &'static str) {
        self.running.insert(program, self.program(program).start());
        self.ready(program).await;
    }

    /// Another copy of each process, beside those that run; answers the second gateway's shop.
    pub(crate) async fn open_copies(&self) -> (Shop, Vec<Process>) {
        let gateway_port = free_port();
        let mut copies = Vec::new();
        for name in PROGRAMS {
            let admin_port = free_port();
            let program = self.program(name).with("ADMIN_PORT", admin_port.to_string());
            let process = program.with("PORT", gateway_port.to_string()).start();
            process.answers(&format!("127.0.0.1:{admin_port}"), "/readyz").await.unwrap();
            copies.push(process);
        }
        (Shop::at(&format!("127.0.0.1:{gateway_port}")), copies)
    }

    /// Where the broker and the database are, as `waybill up` is told.
    pub(crate) fn backing(&self) -> [(&'static str, &str); 3] {
        [
            ("RABBITMQ_URL", &self.rabbitmq_url),
            ("DATABASE_URL", &self.database_url),
            ("BUS_NAMESPACE", &self.namespace),
        ]
    }

    /// Ends one process in the ordinary way, which must end well.
    pub(crate) async fn stop(&mut self, program: &str) {
        ends_well(&self.running.remove(program).expect("it is running")).await;
    }

    /// Closes the shop in the ordinary way, gateway first, which must end well.
    pub(crate) async fn close(&mut self) {
        for program in PROGRAMS {
            self.stop(program).await;
        }
    }

    /// `waybill` with these arguments, in this shop.
    pub(crate) fn waybill<const N: usize>(&self, arguments: [&str; N]) -> Program {
        self.in_this_shop(Program::waybill(arguments))
    }

    /// inventory-service's tables.
    pub(crate) fn stock_book(&self) -> StockBook {
        StockBook::of(self.database_url.clone())
    }

    async fn ready(&self, program: &str) {
        let address = format!("127.0.0.1:{}", self.admin_ports[program]);
        self.running[program].answers(&address, "/readyz").await.unwrap();
    }

    fn program(&self, name: &str) -> Program {
        let program =
            self.in_this_shop(Program::named(name)).with("ADMIN_PORT", self.admin_ports[name].to_string());
        if name == "gateway" {
            return program
                .with("PORT", self.gateway_port.to_string())
                .with("AUTH_MODE", "mock")
                .with("JWT_SECRET", SECRET);
        }
        program.with("DATABASE_URL", &self.database_url)
    }

    fn in_this_shop(&self, program: Program) -> Program {
        program.with("RABBITMQ_URL", &self.rabbitmq_url).with("BUS_NAMESPACE", &self.namespace)
    }
}
