//! W3C trace context in and out of message headers, so that one trace follows an order everywhere.

use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use opentelemetry::{Context, global};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::message::{HeaderValue, Headers, Message};

/// Writes the current span's context into a message's headers.
pub fn inject(headers: &mut Headers) {
    write(&tracing::Span::current().context(), headers);
}

/// Begins a trace where a message came without one, so that all that comes of it (its reply, its events, its next
/// attempts) belongs together.
pub fn begin_if_none(headers: &mut Headers) {
    if extract(headers).span().span_context().is_valid() {
        return;
    }
    let (trace, span) = (TraceId::from(rand::random::<u128>()), SpanId::from(rand::random::<u64>()));
    let begun = SpanContext::new(trace, span, TraceFlags::SAMPLED, true, TraceState::NONE);
    write(&Context::new().with_remote_span_context(begun), headers);
}

/// Writes the trace context that a message came with into the headers of the answer to it.
pub fn answer(message: &Message, headers: &mut Headers) {
    write(&extract(&message.headers), headers);
}

fn write(context: &Context, headers: &mut Headers) {
    global::get_text_map_propagator(|propagator| propagator.inject_context(context, &mut Write(headers)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::header;
    use opentelemetry_sdk::propagation::TraceContextPropagator;

    const GIVEN: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn traceparent(headers: &Headers) -> &str {
        let Some(HeaderValue::Text(traceparent)) = headers.get(header::TRACEPARENT) else {
            panic!("no trace in {headers:?}")
        };
        traceparent
    }

    #[test]
    fn an_answer_belongs_to_the_trace_that_its_question_came_with_or_to_a_fresh_one() {
        global::set_text_map_propagator(TraceContextPropagator::new());
        for given in [Some(GIVEN), Some("no trace"), None] {
            let mut question = Message::default();
            if let Some(given) = given {
                question.set_header(header::TRACEPARENT, given.into());
            }
            begin_if_none(&mut question.headers);
            let mut headers = Headers::new();
            answer(&question, &mut headers);
            assert_eq!(traceparent(&headers), traceparent(&question.headers));
            assert_eq!(traceparent(&headers) == GIVEN, given == Some(GIVEN), "{headers:?}");
        }
    }
}
