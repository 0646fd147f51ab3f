//! gateway, order-service, inventory-service and customer-service on RabbitMQ and PostgreSQL.

use std::collections::BTreeMap;

use testkit::{Process, Program, free_port, postgres_database, rabbitmq_url, unique};

use super::program::{SECRET, ends_well, program, waybill};
use super::{Gateway, StockTables};

const PROGRAMS: [&str; 4] = ["gateway", "order-service", "customer-service", "inventory-service"];

/// The system in four processes, with a namespace and a database of its own.
pub(crate) struct FourProcesses {
    rabbitmq_url: String,
    /// Whether each process is a user of its own, called as the process is and with its name as the password.
    has_users: bool,
    database_url: String,
    /// Empty for the system's root certificates alone.
    pub(crate) rabbitmq_ca_file: String,
    namespace: String,
    gateway_port: u16,
    admin_ports: BTreeMap<&'static str, u16>,
    /// Further variables of the gateway.
    pub(crate) gateway_variables: Vec<(&'static str, &'static str)>,
    running: BTreeMap<&'static str, Process>,
}

impl FourProcesses {
    /// A system that has never run.
    pub(crate) async fn new() -> Self {
        Self::on(rabbitmq_url().await, postgres_database().await)
    }

    /// A system that has never run, on a broker and a database that are reached by these URLs.
    pub(crate) fn on(rabbitmq_url: String, database_url: String) -> Self {
        Self {
            rabbitmq_url,
            has_users: false,
            database_url,
            rabbitmq_ca_file: String::new(),
            namespace: unique("system"),
            gateway_port: free_port(),
            admin_ports: PROGRAMS.iter().map(|program| (*program, free_port())).collect(),
            gateway_variables: Vec::new(),
            running: BTreeMap::new(),
        }
    }

    /// A system that has never run, over this broker. Each process connects as a user of its own, called as the process is,
    /// with the same word as password; the operator's commands as `operator`.
    pub(crate) async fn with_users(rabbitmq_url: String) -> Self {
        Self { rabbitmq_url, has_users: true, ..Self::new().await }
    }

    /// Starts all processes at once; returns when each is ready.
    pub(crate) async fn start(&mut self) -> Gateway {
        for program in PROGRAMS {
            self.running.insert(program, self.program(program).start());
        }
        for program in PROGRAMS {
            self.ready(program).await;
        }
        let address = format!("127.0.0.1:{}", self.gateway_port);
        self.running["gateway"].answers(&address, "/readyz").await.unwrap();
        Gateway::at(&address)
    }

    /// What a process has printed.
    pub(crate) fn output(&self, program: &str) -> Vec<String> {
        self.running[program].output()
    }

    /// Starts one process again; returns when it is ready.
    pub(crate) async fn start_program(&mut self, program: &'static str) {
        self.running.insert(program, self.program(program).start());
        self.ready(program).await;
    }

    /// Starts another copy of each process; returns the second gateway and the copies.
    pub(crate) async fn start_copies(&self) -> (Gateway, Vec<Process>) {
        let gateway_port = free_port();
        let mut copies = Vec::new();
        for name in PROGRAMS {
            let admin_port = free_port();
            let program = self.program(name).with("ADMIN_PORT", admin_port.to_string());
            let process = program.with("PORT", gateway_port.to_string()).start();
            process.answers(&format!("127.0.0.1:{admin_port}"), "/readyz").await.unwrap();
            copies.push(process);
        }
        (Gateway::at(&format!("127.0.0.1:{gateway_port}")), copies)
    }

    /// The variables with which `waybill up` uses the same broker and database.
    pub(crate) fn infrastructure(&self) -> [(&'static str, &str); 3] {
        [
            ("RABBITMQ_URL", &self.rabbitmq_url),
            ("DATABASE_URL", &self.database_url),
            ("BUS_NAMESPACE", &self.namespace),
        ]
    }

    /// Terminates one process, which must exit with code 0.
    pub(crate) async fn stop_program(&mut self, program: &str) {
        ends_well(&self.running.remove(program).expect("it is running")).await;
    }

    /// Terminates all processes, the gateway first; each must exit with code 0.
    pub(crate) async fn stop(&mut self) {
        for program in PROGRAMS {
            self.stop_program(program).await;
        }
    }

    /// `waybill` with these arguments, over the same broker.
    pub(crate) fn waybill(&self, arguments: &[&str]) -> Program {
        self.over_broker("operator", waybill(arguments))
    }

    /// inventory-service's tables.
    pub(crate) fn stock_tables(&self) -> StockTables {
        StockTables::at(self.database_url.clone())
    }

    async fn ready(&self, program: &str) {
        let address = format!("127.0.0.1:{}", self.admin_ports[program]);
        self.running[program].answers(&address, "/readyz").await.unwrap();
    }

    fn program(&self, name: &str) -> Program {
        let program =
            self.over_broker(name, program(name)).with("ADMIN_PORT", self.admin_ports[name].to_string());
        if name == "gateway" {
            let program = program
                .with("PORT", self.gateway_port.to_string())
                .with("AUTH_MODE", "mock")
                .with("JWT_SECRET", SECRET);
            return self
                .gateway_variables
                .iter()
                .fold(program, |program, (name, value)| program.with(name, *value));
        }
        program.with("DATABASE_URL", &self.database_url)
    }

    fn over_broker(&self, user: &str, program: Program) -> Program {
        let url = match self.has_users {
            true => self.rabbitmq_url.replace("guest:guest", &format!("{user}:{user}")),
            false => self.rabbitmq_url.clone(),
        };
        program
            .with("RABBITMQ_URL", url)
            .with("RABBITMQ_CA_FILE", &self.rabbitmq_ca_file)
            .with("BUS_NAMESPACE", &self.namespace)
    }
}
