//! Runs operations for both transports: parse, measure, attach data, execute within a deadline,
//! contain panics, code the errors.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use async_graphql::{Executor, Request, Response, ServerError, Variables, parser::types::OperationType};
use futures::{FutureExt, Stream, StreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument;

use super::{
    ErrorCode, GraphqlError, Limits, Outcome, RequestData,
    document::{Documents, choose_operation, kind_name, name_absent_integers, require_variables},
    outcome::GraphqlResult,
    trace::Trace,
};
use crate::auth::Viewer;

/// When a client should come back that was refused for load.
pub(super) const OVERLOAD_PAUSE: Duration = Duration::from_secs(1);

/// What a client asks for, on either transport.
#[derive(Debug)]
pub(super) struct GraphqlRequest {
    pub(super) query: String,
    pub(super) operation_name: Option<String>,
    pub(super) variables: Variables,
    pub(super) extensions: async_graphql::Extensions,
}

/// An operation that may run: parsed, within limits, with its data.
pub(super) struct Operation {
    pub(super) kind: OperationType,
    request: Request,
    trace: Trace,
}

#[derive(Clone)]
pub(super) struct Engine<E> {
    executor: E,
    data: Arc<dyn RequestData>,
    documents: Documents,
    permits: Arc<Semaphore>,
    timeout: Duration,
}

impl<E: Executor> Engine<E> {
    pub(super) fn new(executor: E, data: Arc<dyn RequestData>, limits: &Limits) -> Self {
        Self {
            executor,
            data,
            documents: Documents::new(limits.documents.clone()),
            permits: Arc::new(Semaphore::new(limits.max_concurrent_requests)),
            timeout: limits.request_timeout,
        }
    }

    /// Room for one more request, held until dropped.
    pub(super) fn admit(&self) -> Result<OwnedSemaphorePermit, GraphqlError> {
        Arc::clone(&self.permits).try_acquire_owned().map_err(|_| {
            ErrorCode::Overloaded
                .error("the gateway is at its limit of concurrent requests")
                .retry_after(OVERLOAD_PAUSE)
        })
    }

    /// Prepares an operation; its error is a request error.
    pub(super) async fn prepare(
        &self,
        asked: GraphqlRequest,
        caller: &Option<Viewer>,
        trace: &Trace,
    ) -> Result<Operation, ServerError> {
        let document = self.documents.parse(&asked.query).await?;
        let name = asked.operation_name.as_deref();
        let chosen = choose_operation(&document, name)?;
        let kind = chosen.ty;
        trace.name_operation(kind_name(kind), name);

        let mut variables = asked.variables;
        require_variables(chosen, &variables)?;
        name_absent_integers(chosen, &mut variables);
        let mut request = Request::new(asked.query).variables(variables);
        request.operation_name = asked.operation_name;
        request.extensions = asked.extensions;
        request.set_parsed_query((*document).clone());
        Ok(Operation { kind, request: self.data.attach(request, caller), trace: trace.clone() })
    }

    /// Runs a query or mutation to its end or the deadline.
    pub(super) async fn execute(&self, operation: Operation) -> GraphqlResult {
        let Operation { kind, request, trace } = operation;
        let run = AssertUnwindSafe(self.executor.execute(request)).catch_unwind();
        let response = async {
            match tokio::time::timeout(self.timeout, run).await {
                Ok(Ok(response)) => response,
                Ok(Err(_panic)) => panicked(),
                Err(_elapsed) => refusal(too_slow(kind)),
            }
        }
        .instrument(trace.span.clone())
        .await;
        trace.span.in_scope(|| GraphqlResult::of(response, trace.id))
    }

    /// Runs any operation as a stream of results, for a subscription one for each event. The stream
    /// ends after a panic.
    pub(super) fn stream(&self, operation: Operation) -> impl Stream<Item = GraphqlResult> + Send + 'static {
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
                Some((GraphqlResult::of(response, trace.id), rest))
            }
            .instrument(span)
        })
    }
}

fn refusal(error: GraphqlError) -> Response {
    Response::from_errors(vec![error.into()])
}

/// The panic's text has gone to the panic hook; a client learns nothing of it.
fn panicked() -> Response {
    refusal(ErrorCode::InternalServerError.error("internal error"))
}

fn too_slow(kind: OperationType) -> GraphqlError {
    let error = ErrorCode::DeadlineExceeded.error("the request took too long");
    match kind {
        // It was cut off somewhere in the middle.
        OperationType::Mutation => error.outcome(Outcome::Unknown),
        OperationType::Query | OperationType::Subscription => error.retryable(true).outcome(Outcome::None),
    }
}
