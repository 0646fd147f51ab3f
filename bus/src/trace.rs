//! W3C trace context in and out of message headers, so that one trace follows an order everywhere.

use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::{Context, global};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::message::{HeaderValue, Headers, Message};

/// Writes the current span's context into a message's headers.
pub fn inject(headers: &mut Headers) {
    let context = tracing::Span::current().context();
    global::get_text_map_propagator(|propagator| propagator.inject_context(&context, &mut Write(headers)));
}

/// A span for handling a message, part of the trace that the message came with.
pub fn consumer_span(operation: &'static str, pattern: &str, message: &Message) -> tracing::Span {
    let span = tracing::info_span!(
        "message",
        otel.name = format!("{operation} {pattern}"),
        otel.kind = "consumer",
        messaging.system = "rabbitmq",
        messaging.operation.type = operation,
        messaging.message.id = message.message_id.as_deref(),
    );
    // A subscriber without a tracer has no parent to set; the span works without one.
    let _ = span.set_parent(extract(&message.headers));
    span
}

/// The trace context that a message came with; an empty one where it has none.
pub fn extract(headers: &Headers) -> Context {
    global::get_text_map_propagator(|propagator| propagator.extract(&Read(headers)))
}

struct Write<'a>(&'a mut Headers);

impl Injector for Write<'_> {
    fn set(&mut self, key: &str, value: String) {
        if !value.is_empty() {
            self.0.insert(key.to_owned(), HeaderValue::Text(value));
        }
    }
}

struct Read<'a>(&'a Headers);

impl Extractor for Read<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match self.0.get(key)? {
            HeaderValue::Text(text) => Some(text),
            HeaderValue::Int(_) => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }
}
