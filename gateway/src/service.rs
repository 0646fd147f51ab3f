//! Starts the gateway.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bus::clock::SystemIds;
use bus::commands::Commands;
use bus::events::EventSubscription;
use bus::topology::WorkQueue;
use bus::transport::SharedTransport;
use service_kit::ServiceContext;
use tokio::net::TcpListener;

use crate::auth::{AuthConfig, Authenticator, Scope, mint};
use crate::config::Config;
use crate::graphql::{Api, ApiSettings, UpdateRetries};
use crate::http::{GraphqlServer, Lifecycle, Limits, Playground, serve};
use crate::subscriptions::SubscriptionSettings;
use crate::warm_up::warm_up;

/// How long an operation may take beyond the deadline of its requests: checking, resolving, writing the response.
const SLACK: Duration = Duration::from_secs(2);

/// The token that the playground fills in, in mock mode.
const PLAYGROUND_CUSTOMER: &str = "CUST01";
const PLAYGROUND_SCOPES: [Scope; 3] = [Scope::OrdersRead, Scope::OrdersWrite, Scope::OrdersFulfil];
const PLAYGROUND_TOKEN_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Binds the public port, serves as tasks of the context's shutdown, and returns the address.
///
/// The gateway is ready once every service has answered, or a while has passed; the caller adds the broker's condition.
/// When the shutdown stops it, connections end, sockets are closed with 1001, and running requests are finished.
pub async fn start(
    config: &Config,
    context: &ServiceContext,
    transport: SharedTransport,
) -> anyhow::Result<SocketAddr> {
    let ServiceContext { clock, shutdown, readiness, liveness } = context;
    let authenticator = Authenticator::with_clock(config.auth.clone(), Arc::clone(clock))?;
    authenticator.read_key_file().await?;
    let playground = playground(&config.auth)?;
    let listener = TcpListener::bind((config.host.as_str(), config.port))
        .await
        .with_context(|| format!("cannot listen on {}:{} (PORT)", config.host, config.port))?;
    let address = listener.local_addr().context("cannot read the bound address")?;

    let rpc_client = context.rpc_client("gateway", &transport);
    let api = Api::new(ApiSettings {
        rpc: rpc_client.clone(),
        commands: Arc::new(Commands::new(rpc_client.clone(), WorkQueue::OrderCommands)),
        clock: Arc::clone(clock),
        ids: Arc::new(SystemIds),
        request_timeout: config.request_timeout,
        create_order_wait: config.create_order_wait,
        subscriptions: SubscriptionSettings::default(),
        update_retries: UpdateRetries::default(),
    });
    let lifecycle = Lifecycle::new(shutdown.draining().clone(), shutdown.stopping().clone());
    let router = GraphqlServer {
        executor: api.clone(),
        authenticator: authenticator.clone(),
        readiness: readiness.clone(),
        liveness: liveness.clone(),
        playground,
        limits: limits(config),
        lifecycle: lifecycle.clone(),
    }
    .router();

    let stopping = shutdown.stopping();
    let updates = (api.clone(), EventSubscription::new(transport), context.heartbeat("gateway updates", &[]));
    let stop = stopping.clone();
    shutdown.spawn(
        "gateway updates",
        async move { updates.0.run_subscription(updates.1, updates.2, stop).await },
    );
    let keys = (readiness.condition("signing keys"), stopping.clone());
    shutdown.spawn("gateway signing keys", async move { authenticator.refresh_jwks(&keys.0, keys.1).await });
    context.run_until_stopping(warm_up(api, rpc_client, readiness.condition("gateway backends")));
    shutdown.spawn("gateway connections", serve(listener, router, lifecycle));
    tracing::info!(%address, "gateway listening");
    Ok(address)
}

fn limits(config: &Config) -> Limits {
    Limits {
        max_body_bytes: config.max_body_bytes,
        request_timeout: config.request_timeout + SLACK,
        ..Limits::default()
    }
}

/// Returns the playground, in mock mode with a token filled in.
fn playground(auth: &AuthConfig) -> anyhow::Result<Playground> {
    let token = match auth {
        AuthConfig::Jwks { .. } => None,
        AuthConfig::Mock { secret } => {
            let scopes = PLAYGROUND_SCOPES.into_iter().collect();
            Some(mint(secret.expose(), PLAYGROUND_CUSTOMER, scopes, PLAYGROUND_TOKEN_LIFETIME)?)
        }
    };
    Ok(Playground { token, ..Playground::default() })
}
