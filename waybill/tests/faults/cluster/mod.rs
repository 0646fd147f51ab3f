//! The whole system as real processes, and the ways to break it.

mod duplicating_proxy;
mod event_recorder;
mod operator;
mod program;
mod proxy;
mod reordering_proxy;
mod stock;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use bus::amqp::{AmqpConfig, AmqpTransport};
use bus::topology::{RetryDelays, Topology};
use bus::transport::{LinkState, SharedTransport, Transport as _};
use testkit::{Postgres, RabbitMq, free_port, unique};
use waybill::audit::RecordedEvents;

pub(crate) use crate::tables::{Tables, Whose, open};
pub(crate) use duplicating_proxy::{Duplicated, DuplicatingProxy};
pub(crate) use program::Program;
pub(crate) use proxy::{Mode, Proxy};
pub(crate) use reordering_proxy::ReorderingProxy;
pub(crate) use stock::{ENDLESS, RARE, RARE_STOCK, UNKNOWN};

use crate::load::Api;
use event_recorder::EventRecorder;

const SECRET: &str = "a secret for tests alone, 32 bytes or more";
/// The scopes of a customer who may do everything with their own orders.
const OWN_ORDERS: [&str; 3] = ["orders:read", "orders:write", "orders:fulfil"];
const NAMESPACE: &str = "waybill";
const RETRY_DELAYS_MS: [u64; 3] = [200, 500, 1_000];

/// What to build.
#[derive(Clone)]
pub(crate) struct Shape {
    /// How many copies of each program run.
    pub(crate) copies: usize,
    /// Whether the processes reach the broker through a [`Proxy`].
    pub(crate) proxied: bool,
    /// The size of PostgreSQL's tablespace `small`, if it has one; see [`Cluster::move_to_small_tablespace`].
    pub(crate) small_tablespace_bytes: Option<u64>,
    /// Whether every event that the broker takes is recorded, to be compared with the tables.
    pub(crate) records_events: bool,
    /// Additional environment variables.
    pub(crate) variables: Vec<(&'static str, String)>,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            copies: 1,
            proxied: false,
            small_tablespace_bytes: None,
            records_events: true,
            variables: Vec::new(),
        }
    }
}

/// The running system. Removed when dropped, but for its logs in [`Cluster::logs`].
pub(crate) struct Cluster {
    pub(crate) programs: Vec<Arc<Program>>,
    pub(crate) tables: Tables,
    pub(crate) proxy: Option<Proxy>,
    event_recorder: Option<EventRecorder>,
    gateways: Vec<String>,
    engines: Engines,
    logs: PathBuf,
}

enum Engines {
    Servers { broker: Arc<RabbitMq>, database: Arc<Postgres> },
    Embedded(tempfile::TempDir),
}

impl Cluster {
    /// The four processes over a private RabbitMQ and PostgreSQL, ready, with products in stock.
    pub(crate) async fn distributed(name: &str, shape: Shape) -> Result<Self> {
        let logs = logs(name)?;
        let database = async {
            match shape.small_tablespace_bytes {
                Some(bytes) => Postgres::start_with_small_tablespace(bytes).await,
                None => Postgres::start().await,
            }
        };
        let (broker, database) = tokio::try_join!(RabbitMq::start(), database)?;
        let (broker, database) = (Arc::new(broker), Arc::new(database));
        let [orders, inventory, customers] = [
            database.create_database("orders").await?,
            database.create_database("inventory").await?,
            database.create_database("customers").await?,
        ];
        let proxy = if shape.proxied { Some(Proxy::start(broker.port()).await?) } else { None };
        let broker_url = proxy.as_ref().map_or_else(|| broker.url(), |proxy| amqp_url(proxy.port()));
        let mut programs = Vec::new();
        let mut gateways = Vec::new();
        for copy in 1..=shape.copies {
            for (program, database_url) in [
                ("gateway", None),
                ("order-service", Some(&orders)),
                ("inventory-service", Some(&inventory)),
                ("customer-service", Some(&customers)),
            ] {
                let (port, admin_port) = (free_port(), free_port());
                let mut environment = environment(admin_port, &shape);
                environment.push(("RABBITMQ_URL", broker_url.clone()));
                match database_url {
                    Some(url) => environment.push(("DATABASE_URL", url.clone())),
                    None => {
                        environment.extend(public(port));
                        gateways.push(format!("127.0.0.1:{port}"));
                    }
                }
                let name = format!("{program}-{copy}");
                let log = logs.join(format!("{name}.log"));
                programs.push(Arc::new(Program::new(name, program, &[], environment, admin_port, log)?));
            }
        }
        let tables = Tables::Postgres { server: Arc::clone(&database), orders, inventory };
        let engines = Engines::Servers { broker, database };
        let mut cluster = Self { programs, tables, proxy, event_recorder: None, gateways, engines, logs };
        cluster.begin().await?;
        if shape.records_events {
            cluster.event_recorder =
                Some(EventRecorder::open(cluster.broker(), &format!("{NAMESPACE}.events")).await?);
        }
        Ok(cluster)
    }

    /// `waybill up` over the embedded broker and SQLite, ready, with products in stock.
    pub(crate) async fn embedded(name: &str, shape: Shape) -> Result<Self> {
        let logs = logs(name)?;
        let folder = tempfile::tempdir()?;
        let (port, admin_port) = (free_port(), free_port());
        let mut environment = environment(admin_port, &shape);
        environment.extend(public(port));
        environment.push(("DATA_DIR", folder.path().display().to_string()));
        environment.push(("SEED", "catalogue".to_owned()));
        let log = logs.join("waybill.log");
        let program = Program::new("waybill".to_owned(), "waybill", &["up"], environment, admin_port, log)?;
        let cluster = Self {
            programs: vec![Arc::new(program)],
            tables: Tables::Sqlite(folder.path().to_owned()),
            proxy: None,
            event_recorder: None,
            gateways: vec![format!("127.0.0.1:{port}")],
            engines: Engines::Embedded(folder),
            logs,
        };
        cluster.begin().await?;
        Ok(cluster)
    }

    async fn begin(&self) -> Result<()> {
        for program in &self.programs {
            program.start().await?;
        }
        self.ready().await?;
        stock::receive(&self.tables).await
    }

    /// Waits until every process is ready.
    pub(crate) async fn ready(&self) -> Result<()> {
        for program in &self.programs {
            program.ready().await?;
        }
        Ok(())
    }

    /// The private broker.
    pub(crate) fn broker(&self) -> &RabbitMq {
        match &self.engines {
            Engines::Servers { broker, .. } => broker,
            Engines::Embedded(_) => panic!("the embedded system has no RabbitMQ"),
        }
    }

    /// The private PostgreSQL.
    pub(crate) fn database(&self) -> &Postgres {
        match &self.engines {
            Engines::Servers { database, .. } => database,
            Engines::Embedded(_) => panic!("the embedded system has no PostgreSQL"),
        }
    }

    /// Moves everything that orders and stock are kept in to the tablespace `small`.
    pub(crate) async fn move_to_small_tablespace(&self) -> Result<()> {
        for whose in [Whose::Orders, Whose::Inventory] {
            for what in ["TABLE", "INDEX"] {
                let all = format!("ALTER {what} ALL IN TABLESPACE pg_default SET TABLESPACE small");
                self.tables.run(whose, &all).await?;
            }
        }
        Ok(())
    }

    /// The embedded system's files.
    pub(crate) fn folder(&self) -> &Path {
        match &self.engines {
            Engines::Embedded(folder) => folder.path(),
            Engines::Servers { .. } => panic!("the distributed system has no folder"),
        }
    }

    /// The copies of a program, such as `order-service`.
    pub(crate) fn copies_of(&self, program: &str) -> Vec<Arc<Program>> {
        self.programs.iter().filter(|copy| copy.name.starts_with(program)).cloned().collect()
    }

    /// The API as a customer with every scope of their own orders uses it, over all gateways.
    pub(crate) fn api(&self, customer: &str) -> Result<Api> {
        self.api_with(customer, &OWN_ORDERS)
    }

    /// The API as a warehouse reads the orders of all customers.
    pub(crate) fn warehouse_api(&self) -> Result<Api> {
        self.api_with("WAREHOUSE", &["orders:read", "orders:all"])
    }

    fn api_with(&self, customer: &str, scopes: &[&str]) -> Result<Api> {
        Ok(Api::new(customer, &self.gateways, &token(customer, scopes)?))
    }

    /// A token of a customer with every scope of their own orders.
    pub(crate) fn token(&self, customer: &str) -> Result<String> {
        token(customer, &OWN_ORDERS)
    }

    /// The port of the first gateway.
    pub(crate) fn gateway_port(&self) -> &str {
        self.gateways[0].rsplit_once(':').expect("an address has a port").1
    }

    /// A connection of the test's own to the private broker, which declares what the processes declare. Connected.
    pub(crate) async fn bus(&self) -> Result<SharedTransport> {
        let delays = RETRY_DELAYS_MS.map(std::time::Duration::from_millis);
        let topology = Topology::new(NAMESPACE, RetryDelays(delays.into()));
        // Poison may be longer than what any process sends.
        let max_message_bytes = usize::MAX;
        let url = self.broker().url();
        let config = AmqpConfig { max_message_bytes, ..AmqpConfig::new(url, unique("faults"), topology) };
        let bus = AmqpTransport::connect(config)?;
        bus.link_state().wait_for(|link| matches!(link, LinkState::Up { .. })).await?;
        Ok(Arc::new(bus))
    }

    /// Whether it has a RabbitMQ that a test can observe.
    pub(crate) fn is_distributed(&self) -> bool {
        matches!(self.engines, Engines::Servers { .. })
    }

    /// The events that the broker delivered, if they are recorded.
    pub(crate) fn recorded_events(&self) -> Option<RecordedEvents> {
        self.event_recorder.as_ref().map(EventRecorder::recorded_events)
    }

    /// Where logs and records are kept to examine a failure.
    pub(crate) fn logs(&self) -> &Path {
        &self.logs
    }
}

fn token(customer: &str, scopes: &[&str]) -> Result<String> {
    let scopes = scopes.iter().map(|scope| scope.parse()).collect::<Result<_, _>>();
    let lifetime = std::time::Duration::from_secs(24 * 60 * 60);
    Ok(gateway::auth::mint(SECRET, customer, scopes.context("a scope is misspelt")?, lifetime)?)
}

fn amqp_url(port: u16) -> String {
    format!("amqp://guest:guest@127.0.0.1:{port}/%2f")
}

/// What all programs get. Holds are asked about soon, so that the system comes to rest within the test.
fn environment(admin_port: u16, shape: &Shape) -> Vec<(&'static str, String)> {
    let mut environment = vec![
        ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
        ("HOST", "127.0.0.1".to_owned()),
        ("ADMIN_PORT", admin_port.to_string()),
        ("BUS_NAMESPACE", NAMESPACE.to_owned()),
        ("RETRY_DELAYS", retry_delays()),
        ("RESERVATION_HOLD", "5s".to_owned()),
        ("RUST_LOG", "info".to_owned()),
    ];
    environment.retain(|(name, _)| shape.variables.iter().all(|(other, _)| other != name));
    environment.extend(shape.variables.iter().cloned());
    environment
}

fn retry_delays() -> String {
    RETRY_DELAYS_MS.map(|delay| format!("{delay}ms")).join(",")
}

fn public(port: u16) -> [(&'static str, String); 3] {
    [("PORT", port.to_string()), ("AUTH_MODE", "mock".to_owned()), ("JWT_SECRET", SECRET.to_owned())]
}

/// An empty folder under this name.
fn logs(name: &str) -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults").join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
