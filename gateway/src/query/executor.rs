//! Executes operations for both transports: parses and checks them, bounds their number and their time, contains panics,
//! and gives every error a code and a trace id.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use async_graphql::parser::types::{ExecutableDocument, OperationType};
use async_graphql::{Executor, Request, Response, ServerError, Value};
use futures::{FutureExt, Stream, StreamExt, stream};
use opentelemetry::Context;
use opentelemetry::trace::{TraceContextExt, TraceId};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{Instrument, Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::documents::{Documents, choose_operation, require_variables, set_absent_integers};
use super::error::overloaded;
use super::{ErrorCode, GraphqlError, Outcome};

/// Executes the operations of one schema. Cheap to clone.
#[derive(Clone)]
pub(crate) struct OperationExecutor<E> {
    executor: E,
    documents: Documents,
    permits: Arc<Semaphore>,
    timeout: Duration,
}

/// An operation that may run: parsed and within limits.
pub(crate) struct Operation {
    pub(crate) kind: OperationType,
    request: Request,
    trace: Trace,
}

impl<E: Executor> OperationExecutor<E> {
    pub(crate) fn new(executor: E, max_concurrent_requests: usize, timeout: Duration) -> Self {
        let permits = Arc::new(Semaphore::new(max_concurrent_requests));
        Self { executor, documents: Documents::new(), permits, timeout }
    }

    /// Returns a permit for one more request, which is held until dropped.
    pub(crate) fn admit(&self) -> Result<OwnedSemaphorePermit, GraphqlError> {
        let permit = Arc::clone(&self.permits).try_acquire_owned();
        permit.map_err(|_| overloaded("the gateway is at its limit of concurrent requests"))
    }

    /// Prepares an operation; its error is a request error.
    pub(crate) async fn prepare(
        &self,
        mut request: Request,
        trace: &Trace,
    ) -> Result<Operation, ServerError> {
        let document = self.documents.parse(&request.query).await?;
        let operation = choose_operation(&document, request.operation_name.as_deref())?;
        let kind = operation.ty;
        trace.span.record("graphql.operation.type", kind.to_string());
        trace.span.record("graphql.operation.name", request.operation_name.as_deref());
        require_variables(operation, &request.variables)?;
        set_absent_integers(operation, &mut request.variables);
        // A copy for each request: async-graphql takes the document by value and removes from it what `@skip` and
        // `@include` leave out.
        request.set_parsed_query(ExecutableDocument::clone(&document));
        Ok(Operation { kind, request, trace: trace.clone() })
    }

    /// Executes a query or mutation to its end or the deadline.
    pub(crate) async fn execute(&self, operation: Operation) -> ExecutionResult {
        let Operation { kind, request, trace } = operation;
        let executing = AssertUnwindSafe(self.executor.execute(request)).catch_unwind();
        let executing = tokio::time::timeout(self.timeout, executing).instrument(trace.span.clone());
        let response = match executing.await {
            Ok(Ok(response)) => response,
            Ok(Err(_panic)) => panicked(),
            Err(_elapsed) => Response::from_errors(vec![deadline_exceeded(kind).into()]),
        };
        trace.span.in_scope(|| ExecutionResult::from_response(response, &trace))
    }

    /// Executes an operation as a stream of results, for a subscription one per event. The stream ends after a panic.
    pub(crate) fn stream(&self, operation: Operation) -> impl Stream<Item = ExecutionResult> + Send + use<E> {
        let Operation { request, trace, .. } = operation;
        let results = self.executor.execute_stream(request, None);
        stream::unfold(Some(results), move |results| {
            let trace = trace.clone();
            let span = trace.span.clone();
            async move {
                let mut results = results?;
                let (response, rest) = match AssertUnwindSafe(results.next()).catch_unwind().await {
                    Ok(response) => (response?, Some(results)),
                    Err(_panic) => (panicked(), None),
                };
                Some((ExecutionResult::from_response(response, &trace), rest))
            }
            .instrument(span)
        })
    }
}

/// The panic's text has gone to the panic hook; it may hold what a client must not read.
fn panicked() -> Response {
    Response::from_errors(vec![ErrorCode::InternalServerError.error("internal error").into()])
}

fn deadline_exceeded(kind: OperationType) -> GraphqlError {
    let error = ErrorCode::DeadlineExceeded.error("the request took too long");
    // A mutation was cut off somewhere in the middle.
    let is_mutation = kind == OperationType::Mutation;
    let outcome = if is_mutation { Outcome::Unknown } else { Outcome::None };
    error.retryable(!is_mutation).outcome(outcome)
}

/// A result as clients get it: every error has a code and a trace id, and shows no more than a client may know.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum ExecutionResult {
    /// The executor ran the operation: there is a `data` entry, if only null.
    Executed(Response),
    /// The document was not executed, so that there is no `data` entry.
    RequestError { errors: Vec<ServerError> },
}

impl ExecutionResult {
    fn from_response(mut response: Response, trace: &Trace) -> Self {
        let not_executed = response.data == Value::Null
            && !response.errors.is_empty()
            && response.errors.iter().all(|error| error.path.is_empty());
        for error in &mut response.errors {
            present(error, not_executed);
            trace.mark(error);
        }
        if not_executed { Self::RequestError { errors: response.errors } } else { Self::Executed(response) }
    }

    /// The result of a request that the gateway itself refuses.
    pub(crate) fn request_error(error: impl Into<ServerError>, trace: &Trace) -> Self {
        Self::RequestError { errors: request_errors(error, trace) }
    }
}

/// Returns the errors of a request that the gateway itself refuses.
pub(crate) fn request_errors(error: impl Into<ServerError>, trace: &Trace) -> Vec<ServerError> {
    let mut error = error.into();
    trace.mark(&mut error);
    vec![error]
}

/// Gives an error its code; hides one that carries none. An error is shown because of what it is, never because of how
/// it reads.
fn present(error: &mut ServerError, not_executed: bool) {
    if ErrorCode::of(error).is_some() {
        return;
    }
    // Only by their text can a coercion failure be told from a resolver's error; unlike one that a resolver passes on
    // with `?`, it has no source.
    let is_start = |start| error.message.starts_with(start);
    let is_coercion_failure =
        error.source.is_none() && ["Failed to parse \"", "Expected input type \""].into_iter().any(is_start);
    let code = if not_executed {
        refusal_code(&error.message)
    } else if is_coercion_failure {
        ErrorCode::BadUserInput
    } else {
        tracing::error!(error = %error.message, path = ?error.path, "a resolver failed");
        let masked = ServerError::from(ErrorCode::InternalServerError.error("internal error"));
        (error.message, error.source, error.extensions) = (masked.message, None, masked.extensions);
        return;
    };
    error.extensions.get_or_insert_default().set("code", code.as_str());
}

/// async-graphql's own refusals have no code. Two are limits, by these texts alone; all others come from validation.
fn refusal_code(message: &str) -> ErrorCode {
    let is_limit = message == "Query is too complex."
        || message.starts_with("The recursion depth of the query cannot be greater than");
    if is_limit { ErrorCode::QueryTooComplex } else { ErrorCode::GraphqlValidationFailed }
}

/// The trace that an operation belongs to: its span, and the id that its errors name.
#[derive(Clone)]
pub(crate) struct Trace {
    span: Span,
    id: TraceId,
}

impl Trace {
    /// Begins a trace.
    pub(crate) fn root() -> Self {
        Self::continuing(&Context::new())
    }

    /// Continues the trace of the parent, or begins one if the parent has none.
    pub(crate) fn continuing(parent: &Context) -> Self {
        let span = tracing::info_span!(
            "graphql",
            otel.kind = "server",
            trace_id = field::Empty,
            graphql.operation.type = field::Empty,
            graphql.operation.name = field::Empty,
        );
        // Fails only if no subscriber exports traces; then nothing has to be linked.
        let _ = span.set_parent(parent.clone());
        let ids = [&span.context(), parent].map(|context| context.span().span_context().trace_id());
        let known = ids.into_iter().find(|id| *id != TraceId::INVALID);
        let id = known.unwrap_or_else(|| TraceId::from(rand::random::<u128>()));
        span.record("trace_id", field::display(id));
        Self { span, id }
    }

    /// Names the trace in an error.
    fn mark(&self, error: &mut ServerError) {
        error.extensions.get_or_insert_default().set("traceId", self.id.to_string());
    }
}
