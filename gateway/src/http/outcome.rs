//! What leaves the edge: results whose every error has a code and a trace id, and says no more
//! than a client may know.

use async_graphql::{Response, ServerError, Value};
use opentelemetry::trace::TraceId;
use serde::Serialize;

use super::ErrorCode;

/// A result as it is sent. A request error (the document was not executed) has no `data` entry.
#[derive(Debug, Serialize)]
pub(super) struct GraphqlResult {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) errors: Vec<ServerError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
    #[serde(skip_serializing_if = "serde_json::Map::is_empty")]
    extensions: serde_json::Map<String, serde_json::Value>,
}

impl GraphqlResult {
    /// The executor's response, fit to be sent.
    pub(super) fn of(response: Response, trace_id: TraceId) -> Self {
        let not_executed = response.data == Value::Null
            && !response.errors.is_empty()
            && response.errors.iter().all(|error| error.path.is_empty());
        let errors = response
            .errors
            .into_iter()
            .map(|error| present(error, not_executed))
            .map(|error| with_trace_id(error, trace_id))
            .collect();
        let extensions = response
            .extensions
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.into_json().ok()?)))
            .collect();
        Self { errors, data: (!not_executed).then_some(response.data), extensions }
    }

    /// A request error of the edge's own.
    pub(super) fn request_error(error: impl Into<ServerError>, trace_id: TraceId) -> Self {
        Self {
            errors: vec![with_trace_id(error.into(), trace_id)],
            data: None,
            extensions: serde_json::Map::new(),
        }
    }

    /// Whether the document was refused before it was executed.
    pub(super) fn is_request_error(&self) -> bool {
        self.data.is_none()
    }

    /// The code of the first error.
    pub(super) fn first_code(&self) -> Option<ErrorCode> {
        self.errors.first().and_then(ErrorCode::of)
    }
}

/// Gives an error its code; hides what carries none. An error is shown because of what it is, never
/// because of how it reads.
fn present(mut error: ServerError, not_executed: bool) -> ServerError {
    if ErrorCode::of(&error).is_some() {
        return error;
    }
    if not_executed {
        let code = refusal_code(&error.message);
        set_code(&mut error, code);
        return error;
    }
    if is_coercion_failure(&error) {
        set_code(&mut error, ErrorCode::BadUserInput);
        return error;
    }
    tracing::error!(error = %error.message, path = ?error.path, "a resolver failed");
    ServerError {
        locations: error.locations,
        path: error.path,
        ..ErrorCode::InternalServerError.error("internal error").into()
    }
}

/// The executor's own refusals have no code. Two are limits, by these texts alone; all others come
/// from validation.
fn refusal_code(message: &str) -> ErrorCode {
    match message {
        "Query is too complex." | "Query is nested too deep." => ErrorCode::QueryTooComplex,
        _ => ErrorCode::GraphqlValidationFailed,
    }
}

/// Whether an argument failed to become its Rust type. The executor tells these apart from a
/// resolver's errors only by their text; unlike an error that a resolver passes on with `?`, they
/// have no source.
fn is_coercion_failure(error: &ServerError) -> bool {
    error.source.is_none()
        && ["Failed to parse \"", "Expected input type \""]
            .iter()
            .any(|start| error.message.starts_with(start))
}

fn set_code(error: &mut ServerError, code: ErrorCode) {
    error.extensions.get_or_insert_default().set("code", code.as_str());
}

fn with_trace_id(mut error: ServerError, trace_id: TraceId) -> ServerError {
    error.extensions.get_or_insert_default().set("traceId", trace_id.to_string());
    error
}
