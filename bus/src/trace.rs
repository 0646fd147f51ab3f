//! W3C trace context in message headers, so that one trace follows an order through every process.

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use opentelemetry::{Context, global};
use std::collections::HashMap;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::message::{HeaderValue, Headers, Message};

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
    write(&extract(&message.headers), headers);
}

fn write(context: &Context, headers: &mut Headers) {
    let mut written = HashMap::new();
    global::get_text_map_propagator(|propagator| propagator.inject_context(context, &mut written));
    let written = written.into_iter().filter(|(_, text)| !text.is_empty());
    headers.extend(written.map(|(name, text)| (name, HeaderValue::Text(text))));
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
    let texts = headers.iter().filter_map(|(name, value)| match value {
        HeaderValue::Text(text) => Some((name.clone(), text.clone())),
        HeaderValue::Int(_) => None,
    });
    let texts: HashMap<String, String> = texts.collect();
    global::get_text_map_propagator(|propagator| propagator.extract(&texts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::header;
    use opentelemetry_sdk::propagation::TraceContextPropagator;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

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
