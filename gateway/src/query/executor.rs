//! Executes operations for both transports: prepares them, bounds their number and their time, contains panics, and gives
//! every error a code and a trace id.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use apollo_compiler::ast;
use async_graphql::parser::types::OperationType;
use async_graphql::{Executor, Request, Response, ServerError, Value};
use futures::{FutureExt, Stream, StreamExt, stream};
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{Instrument, Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::documents::Documents;
use super::error::overloaded;
use super::limits::{DocumentSettings, OperationSize};
use super::persisted::{PersistedDocuments, PersistedSettings, TrustedDocuments};
use super::prepared::{PreparedOperation, Substitutes, prepare};
use super::schema::SchemaTypes;
use super::variables::coerce;
use super::{DocumentSource, ErrorCode, GraphqlError, GraphqlRequest, GraphqlSchema, Outcome};

/// Executes the operations of one schema. Cheap to clone.
#[derive(Clone)]
pub(crate) struct OperationExecutor<E> {
    executor: E,
    documents: Documents,
    persisted: PersistedDocuments,
    permits: Arc<Semaphore>,
    timeout: Duration,
}

/// An operation that may run: valid, within limits, and with its arguments' values.
pub(crate) struct Operation {
    pub(crate) kind: OperationType,
    request: Request,
    substitutes: Substitutes,
    size: OperationSize,
    /// Whether the client is told the size.
    wants_cost: bool,
    trace: Trace,
}

impl<E: GraphqlSchema> OperationExecutor<E> {
    pub(crate) fn new(
        executor: E,
        settings: DocumentSettings,
        persisted: PersistedSettings,
        max_concurrent_requests: usize,
        timeout: Duration,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(max_concurrent_requests));
        let schema = SchemaTypes::parse(&executor.sdl()).expect("the SDL of a served schema is valid");
        let schema = schema.with_scalars(executor.scalars());
        let documents = Documents::new(schema, settings);
        for (id, text) in persisted.trusted.iter().flat_map(TrustedDocuments::documents) {
            if let Err(error) = documents.check(text) {
                tracing::warn!(id, %error, "a trusted document is not valid");
            }
        }
        Self { executor, documents, persisted: PersistedDocuments::new(persisted), permits, timeout }
    }
}

impl<E: Executor> OperationExecutor<E> {
    /// Returns a permit for one more request, which is held until dropped.
    pub(crate) fn admit(&self) -> Result<OwnedSemaphorePermit, GraphqlError> {
        self.admit_many(1)
    }

    /// Returns a permit for so many more requests, which is held until dropped.
    pub(crate) fn admit_many(&self, requests: u32) -> Result<OwnedSemaphorePermit, GraphqlError> {
        let permit = Arc::clone(&self.permits).try_acquire_many_owned(requests);
        permit.map_err(|_| overloaded("the gateway is at its limit of concurrent requests"))
    }

    /// Finds the document that a request means; its errors are request errors.
    pub(crate) fn resolve(&self, request: GraphqlRequest) -> Result<GraphqlRequest, Vec<ServerError>> {
        let found = self.persisted.resolve(request.document).map_err(|error| vec![error.into()])?;
        Ok(GraphqlRequest { document: DocumentSource::Found(found), ..request })
    }

    /// Checks what operations of one request ask for together.
    pub(crate) fn check_together(&self, operations: &[&Operation]) -> Result<(), GraphqlError> {
        let mut size = OperationSize::default();
        operations.iter().for_each(|operation| size.add(&operation.size));
        let checked = self.documents.limits().check(&size, None);
        checked.map_err(|beyond| ErrorCode::QueryTooComplex.error(format!("together {}", beyond.message())))
    }

    /// Prepares an operation; its errors are request errors.
    pub(crate) async fn prepare(
        &self,
        request: GraphqlRequest,
        trace: &Trace,
    ) -> Result<Operation, Vec<ServerError>> {
        let GraphqlRequest { document, operation_name, variables, wants_cost, data } = request;
        let text = self.persisted.resolve(document).map_err(|error| vec![error.into()])?;
        let (schema, limits) = (self.documents.schema(), self.documents.limits());
        let document = self.documents.get(&text).await?;
        self.persisted.register(&text);
        let chosen = document.choose(operation_name.as_deref()).map_err(|error| vec![error])?;
        let definition = chosen.definition();
        let (kind, kind_name) = match definition.operation_type {
            ast::OperationType::Query => (OperationType::Query, "query"),
            ast::OperationType::Mutation => (OperationType::Mutation, "mutation"),
            ast::OperationType::Subscription => (OperationType::Subscription, "subscription"),
        };
        trace.span.record("graphql.operation.type", kind_name);
        trace.span.record("graphql.operation.name", operation_name.as_deref());
        let variables = coerce(schema, &definition.variables, variables.as_deref(), document.lines())?;
        let normalized =
            document.normalize(schema, limits, chosen, &variables).map_err(|error| vec![error])?;
        let prepared = prepare(schema, limits.lists, &normalized, kind, &variables);
        let size =
            OperationSize { tokens: document.tokens(), complexity: prepared.complexity, ..normalized.size };
        limits.check(&size, operation_name.as_deref()).map_err(|beyond| {
            let pos = document.lines().pos(definition.location());
            vec![ErrorCode::QueryTooComplex.error_at(pos, beyond.message())]
        })?;
        let PreparedOperation { document: prepared, substitutes, .. } = prepared;
        if let Some(error) = substitutes.root_error().filter(|_| kind == OperationType::Subscription) {
            return Err(vec![error]);
        }
        let mut request = Request::new(String::new());
        request.data = data;
        request.set_parsed_query(prepared);
        Ok(Operation { kind, request, substitutes, size, wants_cost, trace: trace.clone() })
    }

    /// Executes a query or mutation to its end or the deadline.
    pub(crate) async fn execute(&self, operation: Operation) -> ExecutionResult {
        let Operation { kind, request, substitutes, size, wants_cost, trace } = operation;
        let executing = AssertUnwindSafe(self.executor.execute(request)).catch_unwind();
        let executing = tokio::time::timeout(self.timeout, executing).instrument(trace.span.clone());
        let mut response = match executing.await {
            Ok(Ok(response)) => response,
            Ok(Err(_panic)) => panicked(),
            Err(_elapsed) => Response::from_errors(vec![deadline_exceeded(kind).into()]),
        };
        if wants_cost {
            response.extensions.insert("cost".to_owned(), size.to_value(self.documents.limits()));
        }
        trace.span.in_scope(|| ExecutionResult::from_response(response, &substitutes, &trace))
    }

    /// Executes an operation as a stream of results, for a subscription one per event. The stream ends after a panic.
    pub(crate) fn stream(&self, operation: Operation) -> impl Stream<Item = ExecutionResult> + Send + use<E> {
        let Operation { request, substitutes, trace, .. } = operation;
        let results = self.executor.execute_stream(request, None);
        stream::unfold(Some((results, substitutes)), move |state| {
            let trace = trace.clone();
            let span = trace.span.clone();
            async move {
                let (mut results, substitutes) = state?;
                let (response, goes_on) = match AssertUnwindSafe(results.next()).catch_unwind().await {
                    Ok(response) => (response?, true),
                    Err(_panic) => (panicked(), false),
                };
                let result = ExecutionResult::from_response(response, &substitutes, &trace);
                Some((result, goes_on.then_some((results, substitutes))))
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
    fn from_response(mut response: Response, substitutes: &Substitutes, trace: &Trace) -> Self {
        substitutes.apply(&mut response);
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
        Self::request_errors(vec![error.into()], trace)
    }

    /// The result of a request that the gateway itself refuses.
    pub(crate) fn request_errors(errors: Vec<ServerError>, trace: &Trace) -> Self {
        Self::RequestError { errors: request_errors(errors, trace) }
    }
}

/// Returns the errors of a request that the gateway itself refuses.
pub(crate) fn request_errors(mut errors: Vec<ServerError>, trace: &Trace) -> Vec<ServerError> {
    errors.iter_mut().for_each(|error| trace.mark(error));
    errors
}

/// Gives an error its code; hides one that carries none. An error is shown because of what it is, never because of how
/// it reads.
fn present(error: &mut ServerError, not_executed: bool) {
    if ErrorCode::of(error).is_some() {
        return;
    }
    if not_executed {
        // async-graphql's own refusals have no code.
        let code = ErrorCode::GraphqlValidationFailed.as_str();
        error.extensions.get_or_insert_default().set("code", code);
    } else {
        tracing::error!(error = %error.message, path = ?error.path, "a resolver failed");
        let masked = ServerError::from(ErrorCode::InternalServerError.error("internal error"));
        (error.message, error.source, error.extensions) = (masked.message, None, masked.extensions);
    }
}

/// The trace that an operation belongs to: its span, and the id that its errors name.
#[derive(Clone)]
pub(crate) struct Trace {
    span: Span,
    id: TraceId,
    span_id: SpanId,
    is_sampled: bool,
}

impl Trace {
    /// Begins a trace.
    pub(crate) fn root() -> Self {
        Self::continuing(&Context::new(), None)
    }

    /// Continues the trace of the parent, or begins one if the parent has none.
    /// `request_id` is how the client knows the request.
    pub(crate) fn continuing(parent: &Context, request_id: Option<&str>) -> Self {
        let span = tracing::info_span!(
            "graphql",
            otel.kind = "server",
            trace_id = field::Empty,
            request_id = request_id.map(field::display),
            graphql.operation.type = field::Empty,
            graphql.operation.name = field::Empty,
        );
        // Fails only if no subscriber exports traces; then nothing has to be linked.
        let _ = span.set_parent(parent.clone());
        let contexts = [&span.context(), parent].map(|context| context.span().span_context().clone());
        let known = contexts.into_iter().find(SpanContext::is_valid);
        let context = known.unwrap_or_else(|| {
            let (id, span_id) = (TraceId::from(rand::random::<u128>()), SpanId::from(rand::random::<u64>()));
            SpanContext::new(id, span_id, TraceFlags::default(), false, TraceState::default())
        });
        let id = context.trace_id();
        span.record("trace_id", field::display(id));
        Self { span, id, span_id: context.span_id(), is_sampled: context.is_sampled() }
    }

    /// Returns the trace's id.
    pub(crate) fn id(&self) -> TraceId {
        self.id
    }

    /// Returns the trace as W3C's `traceresponse` has it.
    pub(crate) fn response(&self) -> String {
        format!("00-{}-{}-{:02x}", self.id, self.span_id, u8::from(self.is_sampled))
    }

    /// Names the trace in an error.
    fn mark(&self, error: &mut ServerError) {
        error.extensions.get_or_insert_default().set("traceId", self.id.to_string());
    }
}
