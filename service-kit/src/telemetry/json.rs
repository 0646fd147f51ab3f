use std::fmt;

use opentelemetry::trace::TraceContextExt;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// One JSON object a line: time, level, process, target, message, the event's fields, the span and its trace id.
pub(super) struct JsonLines {
    pub(super) process: &'static str,
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
        let mut line = Fields::default();
        event.record(&mut line);
        let mut set = |key: &str, value: String| line.0.insert(key.to_owned(), Value::String(value));
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
        }
        writeln!(writer, "{}", Value::Object(line.0))
    }
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn set(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value);
    }
}
