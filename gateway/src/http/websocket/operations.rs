//! The operations under way on one socket.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{collections::HashMap, collections::hash_map::Entry};

use async_graphql::{Executor, Request, ServerError, parser::types::OperationType};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::{protocol::ServerMessage, send_queue::SendQueue};
use crate::query::{ErrorCode, ExecutionResult, OperationExecutor, Trace, request_errors};

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
    pub(super) send_queue: SendQueue,
    pub(super) operations: Operations,
    pub(super) ended: CancellationToken,
    pub(super) max_message_bytes: usize,
}

impl<E: Executor> OperationTask<E> {
    /// Runs the operation. The id is free again before the client can read that the operation has ended, since it may
    /// use the id at once.
    pub(super) async fn run(self, request: Request) {
        let ended = self.ended.clone();
        let Some(result) = ended.run_until_cancelled(self.execute(request)).await else { return };
        if !self.operations.finish(&self.id, &self.ended) {
            return;
        }
        let id = &self.id;
        let last = match &result {
            Ok(()) => ServerMessage::Complete { id },
            Err(errors) => ServerMessage::Error { id, payload: errors },
        };
        // The client can no longer cancel this id, so that the message is due in any case.
        self.send_queue.result(last.to_json(), &CancellationToken::new()).await;
    }

    /// Executes the operation and sends its results; the error is that of an operation that ends by being refused.
    async fn execute(&self, request: Request) -> Result<(), Vec<ServerError>> {
        let trace = Trace::root();
        let prepared = self.executor.prepare(request, &trace).await;
        let operation = prepared.map_err(|error| request_errors(error, &trace))?;
        match operation.kind {
            OperationType::Subscription => {
                let mut results = std::pin::pin!(self.executor.stream(operation));
                while let Some(result) = results.next().await {
                    self.send(result, &trace).await?;
                }
                Ok(())
            }
            OperationType::Query | OperationType::Mutation => {
                let _permit = self.executor.admit().map_err(|error| request_errors(error, &trace))?;
                let result = self.executor.execute(operation).await;
                self.send(result, &trace).await
            }
        }
    }

    /// Sends one result, waiting for room. A request error ends the operation instead.
    async fn send(&self, result: ExecutionResult, trace: &Trace) -> Result<(), Vec<ServerError>> {
        if let ExecutionResult::RequestError { errors } = result {
            return Err(errors);
        }
        let next = ServerMessage::Next { id: &self.id, payload: &result }.to_json();
        if next.len() > self.max_message_bytes {
            let message = format!("the result is larger than {} bytes: select less", self.max_message_bytes);
            return Err(request_errors(ErrorCode::PayloadTooLarge.error(message), trace));
        }
        self.send_queue.result(next, &self.ended).await;
        Ok(())
    }
}
