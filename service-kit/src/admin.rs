//! The admin server: health and metrics, on a port of its own, and routes that the process adds.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::config::AdminConfig;
use crate::http_server::{ConnectionLimits, serve};
use crate::metrics::{self, Metrics};
use crate::{Liveness, Readiness, health};

/// Connections to the admin port at once: probes, a scraper, an operator's commands.
const MAX_CONNECTIONS: usize = 64;

/// A listening admin server; dropping it closes it. It outlives the drain, so that `/readyz` reports it.
#[derive(Debug)]
pub struct RunningAdmin {
    /// The bound address, with the port that the system chose if the configured one is 0.
    pub address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

/// Serves `/livez`, `/readyz` and `/metrics`.
pub fn routes(readiness: &Readiness, liveness: &Liveness) -> Router {
    let state = (metrics::install(), readiness.clone(), liveness.clone());
    health::routes(readiness.clone(), liveness.clone()).route("/metrics", get(render).with_state(state))
}

/// Binds, and serves `router` in the background.
pub async fn start(router: Router, config: &AdminConfig) -> anyhow::Result<RunningAdmin> {
    let listener = TcpListener::bind((config.host.as_str(), config.port))
        .await
        .with_context(|| format!("cannot listen on {}:{} (ADMIN_PORT)", config.host, config.port))?;
    let address = listener.local_addr().context("cannot read the address of the admin port")?;
    let limits = ConnectionLimits { max_connections: MAX_CONNECTIONS, ..ConnectionLimits::default() };
    let task = tokio::spawn(serve(listener, router, limits, CancellationToken::new()));
    tracing::info!(%address, "the admin server listens");
    Ok(RunningAdmin { address, _task: AbortOnDropHandle::new(task) })
}

async fn render(
    State((metrics, readiness, liveness)): State<(Metrics, Readiness, Liveness)>,
) -> impl IntoResponse {
    for (condition, met) in readiness.conditions() {
        ::metrics::gauge!("waybill_condition_met", "condition" => condition).set(f64::from(met));
    }
    for looping in liveness.report().loops {
        let silent = looping.silent_ms.map_or(-1.0, |ms| Duration::from_millis(ms).as_secs_f64());
        ::metrics::gauge!("waybill_loop_silent_seconds", "loop" => looping.name).set(silent);
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
}
