//! Metrics in Prometheus's text format. Code records them with the `metrics` crate's macros; a histogram whose name
//! ends in `_seconds` gets buckets for times, any other buckets for counts and sizes.

mod descriptions;

use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

pub use descriptions::METRICS;

/// A metric's name, kind and description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric(pub &'static str, pub Kind, pub &'static str);

/// What becomes of a metric's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// They add up, and never fall.
    Counter,
    /// The last one counts.
    Gauge,
    /// They are counted by size.
    Histogram,
}

const SECONDS: [f64; 14] =
    [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const COUNTS: [f64; 11] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 10_000.0];

/// Renders what this process has recorded.
#[derive(Clone)]
pub struct Metrics {
    handle: Option<PrometheusHandle>,
}

/// Installs the process's recorder; a later call answers the same one.
pub fn install() -> Metrics {
    static INSTALLED: OnceLock<Metrics> = OnceLock::new();
    let install = || {
        let builder = PrometheusBuilder::new()
            .set_buckets(&COUNTS)
            .and_then(|builder| {
                builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            })
            .expect("the buckets are not empty");
        // A process that has another recorder keeps it, and /metrics is empty.
        let handle = builder.install_recorder().ok();
        METRICS.iter().for_each(describe);
        Metrics { handle }
    };
    INSTALLED.get_or_init(install).clone()
}

fn describe(&Metric(name, kind, description): &Metric) {
    match kind {
        Kind::Counter => metrics::describe_counter!(name, description),
        Kind::Gauge => metrics::describe_gauge!(name, description),
        Kind::Histogram => metrics::describe_histogram!(name, description),
    }
}

impl Metrics {
    /// Everything recorded so far.
    pub fn render(&self) -> String {
        let Some(handle) = &self.handle else { return String::new() };
        // Bounds what histograms buffer between scrapes.
        handle.run_upkeep();
        handle.render()
    }
}
