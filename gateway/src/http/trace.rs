use axum::http::HeaderMap;
use opentelemetry::{
    Context,
    propagation::{Extractor, TextMapPropagator},
    trace::{TraceContextExt, TraceId},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::{Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The trace that an operation belongs to: its span, and the id that errors name.
#[derive(Clone)]
pub(super) struct Trace {
    pub(super) span: Span,
    pub(super) id: TraceId,
}

impl Trace {
    /// Continues the caller's trace (W3C `traceparent`), or begins one.
    pub(super) fn from_headers(headers: &HeaderMap) -> Self {
        Self::continuing(&TraceContextPropagator::new().extract_with_context(
            // Not the current context: whatever served this connection before is no parent.
            &Context::new(),
            &Headers(headers),
        ))
    }

    /// Begins a trace.
    pub(super) fn root() -> Self {
        Self::continuing(&Context::new())
    }

    fn continuing(parent: &Context) -> Self {
        let span = tracing::info_span!(
            "graphql",
            otel.kind = "server",
            trace_id = field::Empty,
            graphql.operation.type = field::Empty,
            graphql.operation.name = field::Empty,
        );
        // Fails only where no subscriber exports traces; then nothing has to be linked.
        let _ = span.set_parent(parent.clone());
        let ids = [span.context().span().span_context().trace_id(), parent.span().span_context().trace_id()];
        let id = ids
            .into_iter()
            .find(|id| *id != TraceId::INVALID)
            .unwrap_or_else(|| TraceId::from(rand::random::<u128>()));
        span.record("trace_id", field::display(id));
        Self { span, id }
    }

    /// Names the operation in its span.
    pub(super) fn name_operation(&self, kind: &'static str, name: Option<&str>) {
        self.span.record("graphql.operation.type", kind);
        if let Some(name) = name {
            self.span.record("graphql.operation.name", name);
        }
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}
