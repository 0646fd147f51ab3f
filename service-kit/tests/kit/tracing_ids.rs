use std::collections::HashMap;

use opentelemetry::trace::TraceContextExt;
use service_kit::config::{LogConfig, LogFormat};
use service_kit::telemetry;
use tracing_opentelemetry::OpenTelemetrySpanExt;

#[test]
fn a_span_has_a_real_trace_id_that_travels_whatever_the_log_filter_says() {
    let config = LogConfig { format: LogFormat::Json, filter: "off".into() };
    telemetry::init("sample", &config);
    telemetry::init("sample", &config);

    let span = tracing::info_span!("request");
    let context = span.context();
    assert!(context.span().span_context().is_valid());
    let mut headers = HashMap::new();
    opentelemetry::global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&context, &mut headers)
    });
    let parent = &headers["traceparent"];
    assert!(parent.contains(&context.span().span_context().trace_id().to_string()), "{parent}");

    let child = tracing::info_span!("handle");
    let remote = opentelemetry::global::get_text_map_propagator(|propagator| propagator.extract(&headers));
    child.set_parent(remote).unwrap();
    let same = child.context().span().span_context().trace_id();
    assert_eq!(same, context.span().span_context().trace_id());
}
