//! Logs to standard error, and trace context that travels with every message and request.

use std::fmt;
use std::io::IsTerminal;

use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde_json::Value;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_serde::fields::AsMap as _;
use tracing_subscriber::filter::FilterExt;
use tracing_subscriber::fmt::format::{self, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::{LookupSpan, SpanRef};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, filter};

use crate::config::{LogConfig, LogFormat};

/// Libraries that log no news or message bodies; RUST_LOG can name them to turn them on.
const QUIET: &str = "lapin=off,sqlx=warn,sea_orm_migration=warn";

/// Starts logs and traces for this process; a later call changes nothing.
///
/// Spans get real trace ids, whatever the log filter says, and the global propagator speaks W3C Trace Context; no
/// exporter is attached.
pub fn init(process: &'static str, config: &LogConfig) {
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let tracer = SdkTracerProvider::builder().build().tracer(process);
    // Only spans: the tracer would keep log events with their spans, and no exporter reads them. Nor does one read where, in
    // which thread and for how long a span ran, each of which costs every request.
    let spans = filter::filter_fn(|metadata| metadata.is_span()).with_max_level_hint(LevelFilter::INFO);
    let traces = tracing_opentelemetry::layer()
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_tracked_inactivity(false)
        .with_context_activation(false)
        .with_tracer(tracer)
        .with_filter(LevelFilter::INFO.and(spans));
    let logs = match config.format {
        LogFormat::Pretty => tracing_subscriber::fmt::layer()
            .compact()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .boxed(),
        LogFormat::Json => tracing_subscriber::fmt::layer()
            .event_format(JsonLines { process })
            // A line has the name of its span, and of its fields the client's id of the request alone.
            .fmt_fields(format::debug_fn(|writer, field, value| match field.name() {
                "request_id" => write!(writer, "{value:?}"),
                _ => Ok(()),
            }))
            .with_writer(std::io::stderr)
            .boxed(),
    };
    let wanted = format!("{QUIET},{}", config.filter);
    let wanted = EnvFilter::try_new(wanted).unwrap_or_else(|_| EnvFilter::new("info"));
    // Fails if a subscriber is installed already, which then stays.
    let _ = tracing_subscriber::registry().with(traces).with(logs.with_filter(wanted)).try_init();
}

/// Formats an event as one JSON object a line: time, level, process, target, message, the event's fields, the span with
/// its trace id and the client's id of the request.
struct JsonLines {
    process: &'static str,
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let fields = serde_json::to_value(event.field_map()).map_err(|_| fmt::Error)?;
        let Value::Object(mut line) = fields else { return Err(fmt::Error) };
        let mut set = |key: &str, value: String| line.insert(key.to_owned(), Value::String(value));
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        set("time", time);
        set("level", event.metadata().level().as_str().to_ascii_lowercase());
        set("process", self.process.to_owned());
        set("target", event.metadata().target().to_owned());
        if let Some(span) = context.lookup_current() {
            set("span", span.name().to_owned());
            if let Some(trace_id) = tracing::dispatcher::get_default(|dispatch| {
                let context = tracing_opentelemetry::get_otel_context(&span.id(), dispatch)?;
                let span_context = context.span().span_context().clone();
                span_context.is_valid().then(|| span_context.trace_id().to_string())
            }) {
                set("traceId", trace_id);
            }
            let fields = |span: SpanRef<'_, S>| {
                let extensions = span.extensions();
                // Fields recorded later leave blanks behind.
                extensions.get::<FormattedFields<N>>().map(|fields| fields.fields.trim().to_owned())
            };
            let request_id = span.scope().filter_map(fields).find(|id| !id.is_empty());
            if let Some(id) = request_id {
                set("requestId", id);
            }
        }
        writeln!(writer, "{}", Value::Object(line))
    }
}
