//! Logs to standard error, and trace context that travels with every message and request.

mod json;

use std::io::IsTerminal;

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::FilterExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, filter};

use crate::config::{LogConfig, LogFormat};

/// Libraries that say what is news to nobody, or bodies of messages; RUST_LOG can name them to hear it.
const QUIET: &str = "lapin=off,sqlx=warn,sea_orm_migration=warn";

/// Starts logs and traces for this process; a later call changes nothing.
///
/// Spans get real trace ids, whatever the log filter says, and the global propagator speaks W3C Trace Context; no
/// exporter is attached.
pub fn init(process: &'static str, config: &LogConfig) {
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let tracer = SdkTracerProvider::builder().build().tracer(process);
    // Only spans: events of the logs would be kept with their spans, for nobody.
    let spans = LevelFilter::INFO.and(filter::filter_fn(|metadata| metadata.is_span()));
    let traces = tracing_opentelemetry::layer().with_tracer(tracer).with_filter(spans);
    let logs = match config.format {
        LogFormat::Pretty => tracing_subscriber::fmt::layer()
            .compact()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .boxed(),
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .event_format(json::JsonLines { process })
            .with_writer(std::io::stderr)
            .boxed(),
    };
    let wanted = format!("{QUIET},{}", config.filter);
    let wanted = EnvFilter::try_new(wanted).unwrap_or_else(|_| EnvFilter::new("info"));
    // Fails where a subscriber is installed already, which is then the one to keep.
    let _ = tracing_subscriber::registry().with(traces).with(logs.with_filter(wanted)).try_init();
}
