use std::sync::Arc;

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use serde_json::{Value, json};

use super::Lifecycle;
use crate::auth::Authenticator;

/// Says what keeps the process from serving.
pub trait Readiness: Send + Sync + 'static {
    /// The names of what is missing; empty when ready. Called for each probe: it must not wait.
    fn missing(&self) -> Vec<String>;
}

impl<F> Readiness for F
where
    F: Fn() -> Vec<String> + Send + Sync + 'static,
{
    fn missing(&self) -> Vec<String> {
        self()
    }
}

#[derive(Clone)]
pub(super) struct Health {
    pub(super) readiness: Arc<dyn Readiness>,
    pub(super) authenticator: Authenticator,
    pub(super) lifecycle: Lifecycle,
}

impl Health {
    pub(super) fn routes(self) -> Router {
        Router::new().route("/livez", get(alive)).route("/readyz", get(ready)).with_state(self)
    }

    fn missing(&self) -> Vec<String> {
        let mut missing = self.readiness.missing();
        if !self.authenticator.ready() {
            missing.push("signing keys".into());
        }
        missing
    }
}

async fn alive() -> Json<Value> {
    Json(json!({ "status": "alive" }))
}

async fn ready(State(health): State<Health>) -> (StatusCode, Json<Value>) {
    let missing = health.missing();
    let (status, word) = match (health.lifecycle.is_draining(), missing.is_empty()) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
        (false, true) => (StatusCode::OK, "ready"),
    };
    (status, Json(json!({ "status": word, "missing": missing })))
}
