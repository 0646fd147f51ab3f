//! W3C trace context in message headers, so that one trace follows an order through every process.

use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use opentelemetry::{Context, global};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::message::{HeaderValue, Headers, Message, header};

/// Writes the current span's context into a message's headers.
pub fn inject(headers: &mut Headers) {
    write(&tracing::Span::current().context(), headers);
}

/// Begins a trace if a message has none, so that its reply, its events and its next attempts share one.
pub(crate) fn begin_if_none(headers: &mut Headers) {
    if extract(headers).span().span_context().is_valid() {
        return;
    }
    let (trace, span) = (TraceId::from(rand::random::<u128>()), SpanId::from(rand::random::<u64>()));
    let begun = SpanContext::new(trace, span, TraceFlags::SAMPLED, true, TraceState::NONE);
    write(&Context::new().with_remote_span_context(begun), headers);
}

/// Copies the trace context of a message into the headers of its reply.
pub(crate) fn copy_to_reply(message: &Message, headers: &mut Headers) {
    for name in [header::TRACEPARENT, header::TRACESTATE] {
        if let Some(value) = message.headers.get(name) {
            headers.insert(name.to_owned(), value.clone());
        }
    }
}

fn write(context: &Context, headers: &mut Headers) {
    global::get_text_map_propagator(|propagator| {
        propagator.inject_context(context, &mut TraceHeadersMut(headers));
    });
}

/// Returns a span for handling a message, in the message's trace.
pub(crate) fn consumer_span(operation: &'static str, pattern: &str, message: &Message) -> tracing::Span {
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

/// Returns the trace context of a message; an empty one if it has none.
fn extract(headers: &Headers) -> Context {
    global::get_text_map_propagator(|propagator| propagator.extract(&TraceHeaders(headers)))
}

/// Reads trace headers in place: every message passes here, most of them with other headers too.
struct TraceHeaders<'a>(&'a Headers);

impl Extractor for TraceHeaders<'_> {
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

struct TraceHeadersMut<'a>(&'a mut Headers);

impl Injector for TraceHeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if !value.is_empty() {
            self.0.insert(key.to_owned(), HeaderValue::Text(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_sdk::propagation::TraceContextPropagator;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn other_headers_are_neither_read_nor_touched() {
        global::set_text_map_propagator(TraceContextPropagator::new());
        let mut message = Message::default();
        message.set_header(header::TRACEPARENT, GIVEN.into());
        message.set_header(header::TRACESTATE, "vendor=1".into());
        message.set_header(header::ATTEMPT, 2.into());
        let before = message.clone();
        begin_if_none(&mut message.headers);
        assert_eq!(message, before);
        let mut reply = Headers::new();
        copy_to_reply(&message, &mut reply);
        let names: Vec<&str> = reply.keys().map(String::as_str).collect();
        assert_eq!(names, [header::TRACEPARENT, header::TRACESTATE]);
        let context = extract(&message.headers);
        assert_eq!(context.span().span_context().trace_id().to_string(), &GIVEN[3..35]);
    }

    #[test]
    fn a_reply_is_in_the_trace_of_its_request_or_in_a_new_one() {
        global::set_text_map_propagator(TraceContextPropagator::new());
        for given in [Some(GIVEN), Some("no trace"), None] {
            let mut request = Message::default();
            if let Some(given) = given {
                request.set_header(header::TRACEPARENT, given.into());
            }
            begin_if_none(&mut request.headers);
            let mut reply = Message::default();
            copy_to_reply(&request, &mut reply.headers);
            let traceparent = reply.header_text(header::TRACEPARENT).unwrap();
            assert_eq!(Some(traceparent), request.header_text(header::TRACEPARENT));
            assert_eq!(traceparent == GIVEN, given == Some(GIVEN), "{reply:?}");
        }
    }
}
