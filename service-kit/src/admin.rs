//! The endpoints for whoever runs the process: `/livez`, `/readyz` and `/metrics`, on a port of their own.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::config::AdminConfig;
use crate::metrics::{self, Metrics};
use crate::{Liveness, Readiness};

/// The admin server before it listens.
pub struct AdminServer {
    router: Router,
}

/// A listening admin server; dropping it closes it. It outlives the drain, so that `/readyz` tells of it.
#[derive(Debug)]
pub struct RunningAdmin {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl AdminServer {
    /// With the health of this process and its metrics.
    pub fn new(readiness: Readiness, liveness: Liveness) -> Self {
        let state = (metrics::install(), readiness.clone(), liveness.clone());
        Self { router: health_routes(readiness, liveness).route("/metrics", get(render).with_state(state)) }
    }

    /// Adds routes of the process's own.
    #[must_use]
    pub fn merge(self, router: Router) -> Self {
        Self { router: self.router.merge(router) }
    }

    /// Binds and serves in the background.
    pub async fn start(self, config: &AdminConfig) -> anyhow::Result<RunningAdmin> {
        let listener = TcpListener::bind((config.host.as_str(), config.port))
            .await
            .with_context(|| format!("cannot listen on {}:{} (ADMIN_PORT)", config.host, config.port))?;
        let address = listener.local_addr().context("cannot tell the admin port taken")?;
        let serving = axum::serve(listener, self.router.into_make_service_with_connect_info::<SocketAddr>());
        let task = tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the admin server ended");
            }
        });
        tracing::info!(%address, "admin endpoints are up");
        Ok(RunningAdmin { address, task })
    }
}

impl RunningAdmin {
    /// The address taken, with the real port where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for RunningAdmin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// `/livez` and `/readyz` alone, for a process that shows them on its public port too.
pub fn health_routes(readiness: Readiness, liveness: Liveness) -> Router {
    Router::new()
        .route("/livez", get(livez).with_state(liveness))
        .route("/readyz", get(readyz).with_state(readiness))
}

async fn livez(State(liveness): State<Liveness>) -> impl IntoResponse {
    let report = liveness.report();
    (status(report.alive), Json(report))
}

async fn readyz(State(readiness): State<Readiness>) -> impl IntoResponse {
    let report = readiness.report();
    (status(report.ready), Json(report))
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

fn status(well: bool) -> StatusCode {
    if well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
