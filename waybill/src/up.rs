//! `waybill up`: the whole system in one process.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use bus::clock::SystemClock;
use clap::Args;
use gateway::auth::{AuthConfig, mint};
use gateway::config::{AuthArgs, HttpArgs};
use gateway::http::CorsOrigins;
use service_kit::config::{AdminArgs, AdminConfig, ConfigErrors, DrainArgs, LogArgs, LogConfig, Secret};
use service_kit::health::ReadinessHandle;
use service_kit::{ExitStatus, ServiceContext, Shutdown, admin, telemetry};

use crate::admin::{AdminEndpoint, AdminService, reachable_address};
use crate::demo_orders;
use crate::infrastructure::{Infrastructure, SystemArgs, SystemConfig};
use crate::output;
use crate::services::StopOrder;
use crate::token::{DEMO_CUSTOMER, DEMO_LIFETIME, DEMO_SCOPES};

/// How long the services may take to be ready.
const START_LIMIT: Duration = Duration::from_secs(30);

/// The defaults of this command that differ from other processes'.
pub(crate) const DEFAULTS: &[(&str, &str)] =
    &[("admin_port", "9400"), ("auth_mode", "mock"), ("rust_log", "info,sea_orm_migration=warn")];

/// Start the whole system in this process
///
/// Gateway, order-service, inventory-service and customer-service run side by side. If RABBITMQ_URL is not set they speak
/// over an embedded broker, and if DATABASE_URL is not set they keep their tables in SQLite; both write to DATA_DIR, and what
/// was accepted survives every crash. An empty system is filled with demo products, customers and orders.
///
/// Once everything is up it prints the addresses, a token for CUST01, an order to place and updates to watch. Ctrl-C or
/// SIGTERM finish what has begun and end it; the next start continues from there.
#[derive(Args, Debug)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    admin: AdminArgs,
    #[command(flatten)]
    http: HttpArgs,
    #[command(flatten)]
    system: SystemArgs,
    #[command(flatten)]
    auth: AuthArgs,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    drain: DrainArgs,
}

const AFTER_HELP: &str = "\
Every option can be given by the variable beside it as well. Everything that is wrong with them is reported at once, before \
anything is started. Exit codes: 0 ended in order, 1 failed, 2 wrong options.

Examples:
  waybill up --port 8080                       on another port
  waybill up --data-dir /var/lib/waybill       with its files elsewhere
  SEED=none waybill up                         an empty system, to be filled with `waybill import`
  RABBITMQ_URL=amqp://... waybill up           over RabbitMQ, with tables in SQLite";

#[derive(Debug, Clone)]
struct UpConfig {
    admin: AdminConfig,
    system: SystemConfig,
    gateway: gateway::Config,
    /// Whether the secret of `gateway` is the one in DATA_DIR, generated if there is none.
    makes_secret: bool,
    log: LogConfig,
    drain_delay: Duration,
}

impl UpArgs {
    fn check(&self) -> Result<UpConfig, ConfigErrors> {
        let mut errors = ConfigErrors::default();
        let admin = self.admin.check(&mut errors);
        let system = self.system.check(&mut errors);
        let makes_secret = self.auth.lacks_secret();
        let auth = if makes_secret {
            AuthConfig::Mock { secret: Secret::new("") }
        } else {
            self.auth.check(&mut errors)
        };
        let config = UpConfig {
            gateway: self.http.check(&admin.host, CorsOrigins::Local, auth, &system.bus, &mut errors),
            makes_secret,
            log: self.log.check(&mut errors),
            drain_delay: self.drain.check(&mut errors),
            admin,
            system,
        };
        errors.finish(config)
    }
}

pub(crate) async fn main(args: UpArgs, shutdown: Shutdown) -> anyhow::Result<ExitStatus> {
    let mut config = args.check()?;
    telemetry::init("waybill", &config.log);
    let lock = config.system.lock()?;
    if config.makes_secret {
        config.system.data_dir.prepare()?;
        let secret = config.system.data_dir.jwt_secret()?;
        config.gateway.auth = AuthConfig::Mock { secret };
    }
    let request_timeout = config.system.bus.request_timeout;
    let context = ServiceContext::new(Arc::new(SystemClock), shutdown.clone(), request_timeout);
    // Before the admin server listens: without conditions the process would be ready.
    let started = context.readiness.condition("start");
    let endpoint = AdminEndpoint::new();
    let routes = admin::routes(&context.readiness, &context.liveness).merge(endpoint.routes());
    let admin = admin::start(routes, &config.admin).await?;
    let infrastructure =
        Infrastructure::open(config.system.clone(), Arc::clone(&context.clock), lock).await?;
    let stop_order = StopOrder::new(&shutdown);

    let system = System { config, infrastructure, stop_order, context, admin: admin.address };
    let served = system.serve(&endpoint, &started).await;
    let stopped = system.stop_order.stop().await;
    shutdown.force();
    system.infrastructure.close().await;
    served?;
    output::print(farewell(&stopped))?;
    Ok(stopped)
}

struct System {
    config: UpConfig,
    infrastructure: Infrastructure,
    stop_order: StopOrder,
    context: ServiceContext,
    admin: SocketAddr,
}

impl System {
    /// Starts everything, says so, and serves until the process has drained. Returns at once if the shutdown begins during
    /// the start, whatever the start waits for.
    async fn serve(&self, endpoint: &AdminEndpoint, started: &ReadinessHandle) -> anyhow::Result<()> {
        let ServiceContext { shutdown, readiness, .. } = &self.context;
        // Boxed, since the start of everything together is a large future.
        let starting = shutdown.draining().run_until_cancelled(Box::pin(self.start(endpoint)));
        let Some(gateway) = starting.await.transpose()? else { return Ok(()) };
        started.set(true);
        let welcome = welcome(&self.config, gateway, self.admin)?;
        if let Some(ready) = shutdown.draining().run_until_cancelled(self.ready()).await {
            ready?;
            self.place_demo_orders(gateway).await;
            output::print(&welcome)?;
        }
        self.stop_order.drain(shutdown, readiness, self.config.drain_delay).await;
        Ok(())
    }

    /// Starts every service and returns the gateway's address.
    ///
    /// The gateway comes first, as its port is the most likely to be taken; it isn't ready until the others are.
    async fn start(&self, endpoint: &AdminEndpoint) -> anyhow::Result<SocketAddr> {
        let Self { config, infrastructure, stop_order, context, .. } = self;
        let gateway = context.with_shutdown(&stop_order.gateway);
        let transport = infrastructure.transport("gateway", &gateway).await?;
        let address = gateway::start(&config.gateway, &gateway, transport).await?;
        let stock_and_customers = context.with_shutdown(&stop_order.stock_and_customers);
        infrastructure.start_customers(&stock_and_customers).await?;
        infrastructure.start_inventory(&stock_and_customers).await?;
        infrastructure.start_orders(&context.with_shutdown(&stop_order.orders)).await?;
        if config.system.broker.is_none() {
            let transport = infrastructure.transport("admin", context).await?;
            let services = context.rpc_client("admin", &transport);
            let service = AdminService::new(transport, services, infrastructure.databases().await);
            endpoint.open(service, self.admin, &config.system.data_dir)?;
        }
        Ok(address)
    }

    /// In mock mode, whose secret they are placed with. A shop without them is up all the same.
    async fn place_demo_orders(&self, gateway: SocketAddr) {
        let ServiceContext { shutdown, .. } = &self.context;
        let AuthConfig::Mock { secret } = &self.config.gateway.auth else { return };
        if self.config.system.has_demo_orders {
            let placing = demo_orders::place(reachable_address(gateway), secret);
            if let Some(Err(error)) = shutdown.draining().run_until_cancelled(Box::pin(placing)).await {
                tracing::warn!(%error, "the demo's orders are not all placed; the next start goes on with them");
            }
        }
    }

    async fn ready(&self) -> anyhow::Result<()> {
        let ready = tokio::time::timeout(START_LIMIT, self.context.readiness.ready()).await;
        ready.map_err(|_| {
            let missing = self.context.readiness.report().missing.join(", ");
            anyhow!("not ready after {} s, missing: {missing}", START_LIMIT.as_secs())
        })
    }
}

/// What a new user needs: addresses, a token, an order to place and updates to watch.
fn welcome(config: &UpConfig, gateway: SocketAddr, admin: SocketAddr) -> anyhow::Result<String> {
    let (gateway, admin) = (reachable_address(gateway), reachable_address(admin));
    let system = &config.system;
    let broker = system.broker.as_ref().map_or("the embedded broker", |_| "RabbitMQ");
    let database = system.database_url.as_ref().map_or("SQLite", |_| "DATABASE_URL");
    let path = Some(system.data_dir.0.display()).filter(|_| system.is_kept_in_data_dir());
    let files = path.map(|path| format!(", in {path}")).unwrap_or_default();
    let (token_lines, bearer) = match &config.gateway.auth {
        AuthConfig::Jwks { .. } => (String::new(), "$TOKEN".to_owned()),
        AuthConfig::Mock { secret } => {
            let scopes = DEMO_SCOPES.into_iter().collect();
            let token =
                mint(secret.expose(), DEMO_CUSTOMER, scopes, DEMO_LIFETIME).context("cannot make a token")?;
            let lines = format!(
                "\nA token for {DEMO_CUSTOMER}, good for a day (`waybill token` makes more):\n\n{token}\n"
            );
            (lines, token)
        }
    };
    Ok(format!(
        r#"Waybill is up.

  Console     http://{gateway}/console
  Playground  http://{gateway}/
  GraphQL     http://{gateway}/graphql
  Admin       http://{admin}/readyz
  Kept by     {broker} and {database}{files}
{token_lines}
Place an order:

curl http://{gateway}/graphql -H 'Content-Type: application/json' \
  -H 'Authorization: Bearer {bearer}' \
  -d '{{"query": "mutation {{ createOrder(input: {{ items: [{{ productId: \"PROD01\", quantity: 2 }}] }}) {{ order {{ id status totalAmount {{ amount currencyCode }} cursor }} userErrors {{ code message }} }} }}"}}'

Watch orders, in the playground or with any client of the graphql-transport-ws protocol:

subscription {{ orderUpdated {{ cursor kind previousStatus status order {{ id version totalAmount {{ amount }} }} }} }}

Ctrl-C ends it; the next start goes on from here.
"#
    ))
}

fn farewell(ending: &ExitStatus) -> &'static str {
    match ending {
        ExitStatus::Finished => "Waybill has stopped; everything that had begun was finished.",
        ExitStatus::CutOff(_) => {
            "Waybill was stopped before everything that had begun was finished; nothing accepted is lost."
        }
        ExitStatus::Failed(_) => "Waybill has stopped, as a part of it failed; nothing accepted is lost.",
    }
}
