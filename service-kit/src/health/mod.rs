//! Readiness (should this copy get traffic?) as a list of conditions, liveness (should it be restarted?) as the
//! heartbeats of its loops, and the HTTP routes that report both.

mod liveness;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use tokio::sync::watch;
use tokio::time::Instant;

pub use liveness::{Liveness, LivenessReport, LoopReport, SILENCE_LIMIT};

/// Serves `/livez` and `/readyz`, on the admin port and on any other port of the process.
pub fn routes(readiness: Readiness, liveness: Liveness) -> Router {
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

fn status(healthy: bool) -> StatusCode {
    if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// The conditions that a process has to meet before it gets traffic. Clones share them; several services in one process
/// share one `Readiness`. Without conditions it is ready.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    registry: Arc<watch::Sender<HealthRegistry>>,
}

/// Sets one condition of a [`Readiness`].
#[derive(Debug, Clone)]
pub struct ReadinessHandle {
    registry: Arc<watch::Sender<HealthRegistry>>,
    index: usize,
}

/// The body of `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ReadinessReport {
    /// Every condition is met and the process isn't draining.
    pub ready: bool,
    pub draining: bool,
    /// The names of the conditions that are not met, sorted.
    pub missing: Vec<String>,
}

/// Checks are only added, so that a handle's index stays valid.
#[derive(Debug, Default)]
struct HealthRegistry {
    checks: Vec<HealthCheck>,
    draining: bool,
    /// Whether every condition was met at some time.
    was_ready: bool,
}

#[derive(Debug)]
struct HealthCheck {
    name: String,
    met: bool,
    since: Instant,
}

impl HealthRegistry {
    fn conditions(&self) -> BTreeMap<String, bool> {
        let mut conditions = BTreeMap::new();
        for check in &self.checks {
            *conditions.entry(check.name.clone()).or_insert(true) &= check.met;
        }
        conditions
    }

    fn is_ready(&self) -> bool {
        !self.draining && self.checks.iter().all(|check| check.met)
    }
}

impl Readiness {
    /// Adds a condition, at first not met. Two of one name count as one in reports: met if both are.
    pub fn condition(&self, name: impl Into<String>) -> ReadinessHandle {
        let mut index = 0;
        self.registry.send_modify(|registry| {
            index = registry.checks.len();
            registry.checks.push(HealthCheck { name: name.into(), met: false, since: Instant::now() });
        });
        ReadinessHandle { registry: Arc::clone(&self.registry), index }
    }

    /// Makes the process not ready for good, whatever the conditions are.
    pub fn start_draining(&self) {
        self.registry.send_modify(|registry| registry.draining = true);
    }

    pub fn report(&self) -> ReadinessReport {
        let registry = self.registry.borrow();
        let missing: Vec<String> =
            registry.conditions().into_iter().filter(|(_, met)| !met).map(|(name, _)| name).collect();
        ReadinessReport {
            ready: missing.is_empty() && !registry.draining,
            draining: registry.draining,
            missing,
        }
    }

    /// Each condition by name, and whether it is met.
    pub fn conditions(&self) -> BTreeMap<String, bool> {
        self.registry.borrow().conditions()
    }

    /// Returns as soon as every condition is met; the caller bounds the wait.
    pub async fn ready(&self) {
        let mut changes = self.registry.subscribe();
        changes.wait_for(HealthRegistry::is_ready).await.expect("this registry holds the sender");
    }

    /// Returns as soon as the process has been ready once, whatever is missing since; the caller bounds the wait.
    pub async fn started(&self) {
        let mut changes = self.registry.subscribe();
        let started = |registry: &HealthRegistry| registry.was_ready || registry.is_ready();
        changes.wait_for(started).await.expect("this registry holds the sender");
    }
}

impl ReadinessHandle {
    /// Sets whether the condition is met.
    pub fn set(&self, met: bool) {
        self.change(met, &"");
    }

    /// Sets the condition to not met, and logs the reason if it was met before.
    pub fn set_missing(&self, reason: impl Display) {
        self.change(false, &reason);
    }

    /// Since when the condition is met, if it is.
    pub fn met_since(&self) -> Option<Instant> {
        let check = &self.registry.borrow().checks[self.index];
        check.met.then_some(check.since)
    }

    /// Sets the condition to the result of `probe`, which it calls every `interval`, until the future is dropped.
    pub async fn follow<E: Display>(self, interval: Duration, probe: impl AsyncFn() -> Result<(), E>) {
        loop {
            match tokio::time::timeout(interval, probe()).await {
                Ok(Ok(())) => self.set(true),
                Ok(Err(error)) => self.set_missing(error),
                Err(_) => self.set_missing("no answer in time"),
            }
            tokio::time::sleep(interval).await;
        }
    }

    fn change(&self, met: bool, reason: &dyn Display) {
        self.registry.send_if_modified(|registry| {
            let check = &mut registry.checks[self.index];
            if check.met == met {
                return false;
            }
            (check.met, check.since) = (met, Instant::now());
            // Logged before a waiter learns of the change: the log of a start ends before the process says that it is up.
            if met {
                tracing::info!(condition = check.name, "condition met");
            } else if !registry.draining {
                tracing::warn!(condition = check.name, %reason, "condition not met");
            }
            registry.was_ready |= registry.is_ready();
            true
        });
    }
}
