//! The whole system in this process, over the embedded broker in memory and SQLite, with everything counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bus::clock::{Clock, SystemClock};
use bus::topology::RetryDelays;
use bus::transport::SharedTransport;
use embedded_broker::{EmbeddedBroker, Storage};
use gateway::auth::AuthConfig;
use gateway::http::{CorsOrigins, console::ConsoleSetting};
use order_service::Timeouts;
use schema::money::Currency;
use service_kit::config::{BusConfig, Secret};
use service_kit::{ServiceContext, Shutdown, broker};
use store::Database;
use tempfile::TempDir;

use crate::counting_transport::CountingTransport;

pub(crate) const SECRET: &str = "a-secret-that-only-tests-know-0123456789";
const TIMEOUT: Duration = Duration::from_secs(30);
const PREFETCH: u16 = 100;

pub(crate) struct System {
    pub(crate) address: SocketAddr,
    broker: EmbeddedBroker,
    shutdown: Shutdown,
    messages: Arc<AtomicU64>,
    statements: Arc<AtomicU64>,
    _folder: TempDir,
}

impl System {
    /// Starts it with the demo's products and customers.
    pub(crate) async fn start() -> Self {
        let bus = BusConfig {
            namespace: "costs".to_owned(),
            request_timeout: TIMEOUT,
            retry_delays: RetryDelays::default().0,
            prefetch: PREFETCH,
        };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let broker = EmbeddedBroker::open(Storage::Memory, broker::topology(&bus), Arc::clone(&clock)).await;
        let broker = broker.unwrap();
        let shutdown = Shutdown::default();
        let context = ServiceContext::new(Arc::clone(&clock), shutdown.clone(), TIMEOUT);
        let folder = tempfile::tempdir().unwrap();
        let (messages, statements): (Arc<AtomicU64>, Arc<AtomicU64>) = Default::default();
        let transport = |owner: &str| -> SharedTransport {
            let inner = broker.transport(&format!("{owner}.1"));
            Arc::new(CountingTransport { inner, messages: Arc::clone(&messages) })
        };
        let database = async |name: &str| {
            let url = format!("sqlite://{}", folder.path().join(name).display());
            let database = Database::connect(&url, Arc::clone(&clock)).await.unwrap();
            let statements = Arc::clone(&statements);
            database.with_observer(move |_| {
                statements.fetch_add(1, Ordering::Relaxed);
            })
        };

        let customers = customer_service::Config { prefetch: PREFETCH, seed_demo: true };
        let (over, tables) = (transport("customer-service"), database("customers").await);
        customer_service::start(&customers, &context, over, tables).await.unwrap();
        let inventory = inventory_service::Config {
            currency: Currency::USD,
            reservation_hold: Duration::from_secs(60),
            request_timeout: TIMEOUT,
            prefetch: PREFETCH,
            seed_demo: true,
        };
        let (over, tables) = (transport("inventory-service"), database("inventory").await);
        inventory_service::start(&inventory, &context, over, tables).await.unwrap();
        let timeouts = Timeouts { request_timeout: TIMEOUT, ..Timeouts::default() };
        let orders = order_service::Config { timeouts, prefetch: PREFETCH };
        let (over, tables) = (transport("order-service"), database("orders").await);
        order_service::start(&orders, &context, over, tables).await.unwrap();
        let gateway = gateway::Config {
            host: "127.0.0.1".to_owned(),
            port: 0,
            auth: AuthConfig::Mock { secret: Secret::new(SECRET) },
            request_timeout: TIMEOUT,
            create_order_wait: TIMEOUT,
            max_body_bytes: 1024 * 1024,
            keep_alive: TIMEOUT,
            cors: CorsOrigins::None,
            documents: Default::default(),
            rate_limits: Default::default(),
            max_concurrent_requests: 1024,
            persisted: Default::default(),
            max_batch: 0,
            playground: false,
            federation: false,
            live: gateway::config::LiveConfig::default(),
            console: ConsoleSetting::Off,
        };
        let address = gateway::start(&gateway, &context, transport("gateway")).await.unwrap();
        Self { address, broker, shutdown, messages, statements, _folder: folder }
    }

    /// Messages that were published so far: commands, requests, replies and events.
    pub(crate) fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    /// SQL statements so far, but for those that begin and end transactions.
    pub(crate) fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    pub(crate) async fn stop(self) {
        self.shutdown.stop(TIMEOUT).await;
        self.broker.close().await;
    }
}
