//! Starts the gateway.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use bus::batching::BatchingRpcClient;
use bus::clock::{Deadline, SystemIds};
use bus::events::{EventSignal, EventSubscription};
use bus::rpc_client::{RequestError, RpcClient, request};
use bus::{commands::Commands, topology::WorkQueue, transport::SharedTransport};
use futures::stream::{self, Stream};
use schema::pattern::{CUSTOMER_GET, INVENTORY_GET, ORDER_GET};
use service_kit::http_server::{ConnectionLimits, raise_open_files_limit};
use service_kit::{ServiceContext, config::Secret, health::ReadinessHandle};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::auth::{AuthConfig, Authenticator, Scope, mint};
use crate::config::Config;
use crate::graphql::{Api, ApiSettings, UpdateRetries};
use crate::http::{Console, GraphqlServer, Lifecycle, Limits, Playground, serve};
use crate::orders::unseen::UnseenOrderSettings;
use crate::subscriptions::SubscriptionSettings;

/// How long an operation may take beyond the deadline of its requests: checking, resolving, writing the response.
const SLACK: Duration = Duration::from_secs(2);

/// How long a starting gateway stays not ready for services that don't answer.
const WARM_UP_LIMIT: Duration = Duration::from_secs(10);
const WARM_UP_PAUSE: Duration = Duration::from_millis(100);

/// Open files that are kept for what is not a client's connection.
const RESERVED_FILES: usize = 128;
/// Connections that are served however few files the process may open.
const MIN_CONNECTIONS: usize = 16;

/// The token that the playground fills in, in mock mode.
const PLAYGROUND_CUSTOMER: &str = "CUST01";
const PLAYGROUND_TOKEN_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Binds the public port, serves as tasks of the context's shutdown, and returns the address.
/// The gateway is ready once every service has answered, or a while has passed; the caller adds the broker's condition.
/// When the shutdown stops it, connections end, sockets are closed with 1001, and running requests are finished.
pub async fn start(
    config: &Config,
    context: &ServiceContext,
    transport: SharedTransport,
) -> anyhow::Result<SocketAddr> {
    let ServiceContext { clock, shutdown, readiness, liveness } = context;
    let authenticator = Authenticator::new(config.auth.clone(), Arc::clone(clock))?;
    authenticator.read_key_file().await?;
    let playground = config.playground.then(|| playground(&config.auth)).transpose()?;
    let listener = TcpListener::bind((config.host.as_str(), config.port))
        .await
        .with_context(|| format!("cannot listen on {}:{} (PORT)", config.host, config.port))?;
    let address = listener.local_addr().context("cannot read the bound address")?;

    let rpc_client = context.rpc_client("gateway", &transport);
    let api = Api::new(ApiSettings {
        rpc: Arc::new(BatchingRpcClient::new(rpc_client.clone())),
        commands: Arc::new(Commands::new(rpc_client.clone(), WorkQueue::OrderCommands)),
        clock: Arc::clone(clock),
        ids: Arc::new(SystemIds),
        request_timeout: config.request_timeout,
        create_order_wait: config.create_order_wait,
        unseen_orders: UnseenOrderSettings::default(),
        subscriptions: SubscriptionSettings::default(),
        update_retries: UpdateRetries::default(),
        federation: config.federation,
    });
    let (draining, stopping) = (shutdown.draining().clone(), shutdown.stopping().clone());
    let lifecycle = Lifecycle { draining, closing: stopping.clone(), sockets: TaskTracker::new() };
    let connections = connection_limits(config.keep_alive);
    let router = GraphqlServer {
        executor: api.clone(),
        authenticator: authenticator.clone(),
        readiness: readiness.clone(),
        liveness: liveness.clone(),
        playground,
        console: Console::new(&config.console, &config.auth),
        limits: Limits {
            max_body_bytes: config.max_body_bytes,
            max_concurrent_requests: config.max_concurrent_requests,
            max_batch: config.max_batch,
            request_timeout: config.request_timeout + SLACK,
            max_sockets: config.live.max_sockets.min(connections.max_connections * 3 / 4),
            max_sockets_per_customer: config.live.max_sockets_per_customer,
            max_operations: config.live.max_socket_operations,
            max_subscriptions_per_customer: config.live.max_subscriptions_per_customer,
            ..Limits::default()
        },
        documents: config.documents,
        persisted: config.persisted.clone(),
        rate_limits: config.rate_limits.clone(),
        cors: config.cors.clone(),
        lifecycle: lifecycle.clone(),
    }
    .router();

    let (updates, stop) = (api.clone(), stopping.clone());
    let (events, heartbeat) = (live_events(transport), context.heartbeat("gateway updates", &[]));
    shutdown.spawn("gateway updates", async move { updates.run_subscription(events, heartbeat, stop).await });
    let (orders, stop) = (api.clone(), stopping.clone());
    let heartbeat = context.heartbeat("gateway unseen orders", &[]);
    shutdown.spawn("gateway unseen orders", async move { orders.run_unseen_orders(heartbeat, stop).await });
    let keys = readiness.condition("signing keys");
    shutdown.spawn("gateway signing keys", async move { authenticator.refresh_jwks(&keys, stopping).await });
    context.run_until_stopping(warm_up(api, rpc_client, readiness.condition("gateway backends")));
    shutdown.spawn("gateway connections", serve(listener, router, connections, lifecycle));
    tracing::info!(%address, "gateway listening");
    Ok(address)
}

/// As many connections as the process may have files, but for those that the broker, databases and the admin port need.
fn connection_limits(keep_alive: Duration) -> ConnectionLimits {
    let (wanted, open_files) = (ConnectionLimits::default().max_connections, raise_open_files_limit());
    let max_connections = wanted.min(open_files.saturating_sub(RESERVED_FILES)).max(MIN_CONNECTIONS);
    if max_connections < wanted {
        tracing::warn!(open_files, max_connections, "the limit on open files bounds the connections");
    }
    ConnectionLimits { max_connections, keep_alive, ..ConnectionLimits::default() }
}

/// Waits for each signal without bound.
fn live_events(transport: SharedTransport) -> impl Stream<Item = EventSignal> + Send {
    stream::unfold(EventSubscription::new(transport), async |mut events| Some((events.next().await, events)))
}

/// Returns the playground, in mock mode with a token filled in.
fn playground(auth: &AuthConfig) -> anyhow::Result<Playground> {
    let token = match auth {
        AuthConfig::Jwks { .. } => None,
        AuthConfig::Mock { secret } => {
            let scopes = [Scope::OrdersRead, Scope::OrdersWrite, Scope::OrdersFulfil].into_iter().collect();
            let token = mint(secret.expose(), PLAYGROUND_CUSTOMER, scopes, PLAYGROUND_TOKEN_LIFETIME)?;
            Some(Secret::new(token))
        }
    };
    Ok(Playground { token, ..Playground::default() })
}

/// Makes the gateway ready once every service has answered and subscriptions can begin, or after [`WARM_UP_LIMIT`]:
/// from then on a service that doesn't answer blanks only its own fields, which is no reason to refuse other requests.
async fn warm_up(api: Api, rpc: Arc<dyn RpcClient>, condition: ReadinessHandle) {
    let deadline = Deadline::after(WARM_UP_LIMIT);
    let answered = async {
        let services =
            [ORDER_GET, INVENTORY_GET, CUSTOMER_GET].map(|pattern| answered(&*rpc, pattern, deadline));
        futures::future::join_all(services).await;
        while !api.subscriptions_are_available() {
            tokio::time::sleep(WARM_UP_PAUSE).await;
        }
    };
    tokio::select! {
        () = answered => {}
        () = deadline.passed() => tracing::warn!("ready before every service has answered"),
    }
    condition.set(true);
}

/// Sends empty requests until one is answered, with success or failure.
async fn answered(rpc: &dyn RpcClient, pattern: &str, deadline: Deadline) {
    let nothing: [(); 0] = [];
    loop {
        let answer = request::<_, Vec<serde::de::IgnoredAny>>(rpc, pattern, &nothing, deadline).await;
        match answer {
            Ok(_) | Err(RequestError::Answered(_)) => return,
            Err(error) => tracing::debug!(%error, "service not answering yet"),
        }
        tokio::time::sleep(WARM_UP_PAUSE).await;
    }
}
