//! The operations under way on one socket.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{collections::HashMap, collections::hash_map::Entry};

use async_graphql::{Executor, ServerError, Value, parser::types::OperationType};
use futures::{StreamExt, future::pending};
use serde_json::value::{RawValue, to_raw_value};
use tokio_util::{sync::CancellationToken, task::task_tracker::TaskTrackerToken};

use super::protocol::{CloseCode, NextPayload, ServerMessage};
use super::send_queue::SendQueue;
use crate::auth::Viewer;
use crate::query::{
    DocumentSource, ErrorCode, ExecutionResult, GraphqlRequest, Operation, OperationExecutor, Trace,
    is_retryable, request_errors,
};
use crate::subscriptions::{OperationKey, SharedOperations, Turn, UpdateShare};

/// Ids in use, each with the token that ends its operation.
#[derive(Clone, Default)]
pub(super) struct Operations(Arc<Mutex<HashMap<String, CancellationToken>>>);

/// Why an operation can't start.
pub(super) enum StartError {
    IdInUse,
    TooMany,
}

impl Operations {
    /// Reserves an id.
    pub(super) fn start(&self, id: &str, limit: usize) -> Result<CancellationToken, StartError> {
        let mut running = self.lock();
        let full = running.len() >= limit;
        match running.entry(id.to_owned()) {
            Entry::Occupied(_) => Err(StartError::IdInUse),
            Entry::Vacant(_) if full => Err(StartError::TooMany),
            Entry::Vacant(entry) => Ok(entry.insert(CancellationToken::new()).clone()),
        }
    }

    /// Ends an operation because the client says so, and frees its id.
    pub(super) fn complete(&self, id: &str) {
        if let Some(ended) = self.lock().remove(id) {
            ended.cancel();
        }
    }

    /// Frees the id of an operation that has ended by itself, unless the client was first: then the id may name another
    /// operation by now. Returns whether the client still waits for the operation's last message.
    fn finish(&self, id: &str, ended: &CancellationToken) -> bool {
        let mut running = self.lock();
        !ended.is_cancelled() && running.remove(id).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, CancellationToken>> {
        // Nothing panics while holding the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One operation, from its request to its last message.
pub(super) struct OperationTask<E> {
    pub(super) id: String,
    pub(super) executor: OperationExecutor<E>,
    pub(super) shared_operations: SharedOperations,
    pub(super) send_queue: SendQueue,
    pub(super) operations: Operations,
    pub(super) ended: CancellationToken,
    /// Cancelled when the socket is about to close: subscriptions end without a message, for the client to resume.
    pub(super) closing: CancellationToken,
    pub(super) max_message_bytes: usize,
}

/// Why an operation ends early.
enum Interruption {
    /// The operation is refused, or its result is.
    Refused(Vec<ServerError>),
    /// A subscription can't begin, or go on, for a reason that passes.
    SourceLost,
}

impl<E: Executor> OperationTask<E> {
    /// Runs the operation. The id is free again before the client can read that the operation has ended, since it may
    /// use the id at once. `unfinished` is held as long as the socket should not close. Returns the code to close the
    /// socket with, if it is to be closed.
    pub(super) async fn run(
        self,
        request: GraphqlRequest,
        viewer: Option<Viewer>,
        unfinished: TaskTrackerToken,
    ) -> Option<CloseCode> {
        let mut unfinished = Some(unfinished);
        let ended = self.ended.clone();
        let executed = ended.run_until_cancelled(self.execute(request, viewer, &mut unfinished)).await;
        let result = executed?;
        if let Err(Interruption::SourceLost) = result {
            // `complete` and `error` would end the operation for good; clients resume what a closed socket cuts off.
            tracing::info!("subscription interrupted, closing its socket");
            return Some(CloseCode::TryAgainLater);
        }
        if self.operations.finish(&self.id, &self.ended) {
            let id = &self.id;
            let last = match &result {
                Err(Interruption::Refused(errors)) => ServerMessage::Error { id, payload: errors },
                Ok(()) | Err(Interruption::SourceLost) => ServerMessage::Complete { id },
            };
            // The client can no longer cancel this id, so that the message is due in any case.
            self.send_queue.result(last.to_json(), &CancellationToken::new()).await;
        }
        None
    }

    /// Executes the operation and sends its results.
    async fn execute(
        &self,
        request: GraphqlRequest,
        viewer: Option<Viewer>,
        unfinished: &mut Option<TaskTrackerToken>,
    ) -> Result<(), Interruption> {
        let trace = Trace::root();
        let refused = |errors| Interruption::Refused(request_errors(errors, &trace));
        let share = self.share(&request, viewer.as_ref());
        let request = request.data(viewer).data(share.clone());
        let operation = self.executor.prepare(request, &trace).await.map_err(refused)?;
        match operation.kind {
            OperationType::Subscription => {
                drop(unfinished.take());
                tokio::select! {
                    ended = self.follow(operation, share, &trace) => ended,
                    () = self.closing.cancelled() => pending().await,
                }
            }
            OperationType::Query | OperationType::Mutation => {
                let _permit = self.executor.admit().map_err(|error| refused(vec![error.into()]))?;
                let result = self.executor.execute(operation).await;
                self.send(result, &trace).await
            }
        }
    }

    /// Joins the subscribers that have sent the same operation, if it is one.
    fn share(&self, request: &GraphqlRequest, viewer: Option<&Viewer>) -> Option<UpdateShare> {
        let DocumentSource::Text(document) = &request.document else { return None };
        let (name, variables) = (request.operation_name.as_deref(), request.variables.as_deref());
        document
            .contains("subscription")
            .then(|| self.shared_operations.join(OperationKey::new(document, name, variables, viewer)))
    }

    /// Sends a subscription's results.
    async fn follow(
        &self,
        operation: Operation,
        share: Option<UpdateShare>,
        trace: &Trace,
    ) -> Result<(), Interruption> {
        let mut results = std::pin::pin!(self.executor.stream(operation));
        while let Some(result) = results.next().await {
            let turn = share.as_ref().and_then(UpdateShare::take_turn);
            let guard = match turn {
                // Another subscriber has resolved the update: what this one resolved has nothing in it.
                Some(Turn::Send(shared)) => {
                    self.send_next(NextPayload::Shared(&shared), trace).await?;
                    continue;
                }
                Some(Turn::Resolve(guard)) => Some(guard),
                None => None,
            };
            if is_interruption(&result) {
                return Err(Interruption::SourceLost);
            }
            match guard {
                // Errors name the trace of the operation that met them.
                Some(guard) if !has_errors(&result) => {
                    let shared: Arc<RawValue> =
                        to_raw_value(&result).expect("results are made of JSON's own types").into();
                    guard.publish(Arc::clone(&shared));
                    self.send_next(NextPayload::Shared(&shared), trace).await?;
                }
                _ => self.send(result, trace).await?,
            }
        }
        Ok(())
    }

    /// Sends one result, waiting for room. A request error ends the operation instead.
    async fn send(&self, result: ExecutionResult, trace: &Trace) -> Result<(), Interruption> {
        if let ExecutionResult::RequestError { errors } = result {
            return Err(Interruption::Refused(errors));
        }
        self.send_next(NextPayload::Own(&result), trace).await
    }

    async fn send_next(&self, payload: NextPayload<'_>, trace: &Trace) -> Result<(), Interruption> {
        let next = ServerMessage::Next { id: &self.id, payload }.to_json();
        if next.len() > self.max_message_bytes {
            let message = format!("the result is larger than {} bytes: select less", self.max_message_bytes);
            let errors = request_errors(vec![ErrorCode::PayloadTooLarge.error(message).into()], trace);
            return Err(Interruption::Refused(errors));
        }
        self.send_queue.result(next, &self.ended).await;
        Ok(())
    }
}

/// Whether a subscription's result holds nothing but an error that passes: the update that it stands for is lost to a
/// client that takes it for one.
fn is_interruption(result: &ExecutionResult) -> bool {
    match result {
        ExecutionResult::Executed(response) => {
            response.data == Value::Null && response.errors.iter().any(is_retryable)
        }
        ExecutionResult::RequestError { .. } => false,
    }
}

fn has_errors(result: &ExecutionResult) -> bool {
    match result {
        ExecutionResult::Executed(response) => !response.errors.is_empty(),
        ExecutionResult::RequestError { .. } => true,
    }
}
