//! The operations under way on one socket.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{collections::HashMap, collections::hash_map::Entry};

use async_graphql::{Executor, parser::types::OperationType};
use futures::future::pending;
use tokio_util::{sync::CancellationToken, task::task_tracker::TaskTrackerToken};

use super::protocol::{CloseCode, ServerMessage, Subprotocol};
use super::send_queue::SendQueue;
use crate::auth::CurrentViewer;
use crate::http::admission::Admission;
use crate::http::results::{Interruption, NextResult, next_result, share};
use crate::query::{
    ErrorCode, ExecutionResult, GraphqlRequest, Operation, OperationExecutor, Trace, request_errors,
};
use crate::subscriptions::{SharedOperations, UpdateShare};

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
    pub(super) subprotocol: Subprotocol,
    pub(super) viewer: Option<CurrentViewer>,
    pub(super) admission: Admission,
    pub(super) executor: OperationExecutor<E>,
    pub(super) shared_operations: SharedOperations,
    pub(super) send_queue: SendQueue,
    pub(super) operations: Operations,
    pub(super) ended: CancellationToken,
    /// Cancelled when the socket is about to close: subscriptions end without a message, for the client to resume.
    pub(super) closing: CancellationToken,
    pub(super) max_message_bytes: usize,
}

impl<E: Executor> OperationTask<E> {
    /// Runs the operation. The id is free again before the client can read that the operation has ended, since it may
    /// use the id at once. `unfinished` is held as long as the socket should not close. Returns the code to close the
    /// socket with, if it is to be closed.
    pub(super) async fn run(
        self,
        request: GraphqlRequest,
        unfinished: TaskTrackerToken,
    ) -> Option<CloseCode> {
        let mut unfinished = Some(unfinished);
        let ended = self.ended.clone();
        let executed = ended.run_until_cancelled(self.execute(request, &mut unfinished)).await;
        let result = executed?;
        if let Err(Interruption::SourceLost) = result {
            // `complete` and `error` would end the operation for good; clients resume what a closed socket cuts off.
            tracing::info!("subscription interrupted, closing its socket");
            return Some(CloseCode::TryAgainLater);
        }
        if self.operations.finish(&self.id, &self.ended) {
            let id = &self.id;
            let last = match &result {
                Err(Interruption::Refused(errors)) => ServerMessage::Error(id, errors),
                Ok(()) | Err(Interruption::SourceLost) => ServerMessage::Complete(id),
            };
            // The client can no longer cancel this id, so that the message is due in any case.
            self.send_queue.result(last.to_json(self.subprotocol), &CancellationToken::new()).await;
        }
        None
    }

    /// Executes the operation and sends its results.
    async fn execute(
        &self,
        request: GraphqlRequest,
        unfinished: &mut Option<TaskTrackerToken>,
    ) -> Result<(), Interruption> {
        let trace = Trace::root();
        let refused = |errors| Interruption::Refused(request_errors(errors, &trace));
        let viewer = self.viewer.as_ref().map(|viewer| (*viewer.get()).clone());
        let request = self.executor.resolve(request).map_err(refused)?;
        let share = share(&request, &self.shared_operations, self.viewer.as_ref());
        let request = request.data(viewer).data(self.viewer.clone()).data(share.clone());
        let operation = self.executor.prepare(request, &trace).await.map_err(refused)?;
        match operation.kind {
            OperationType::Subscription => {
                drop(unfinished.take());
                let customer = self.viewer.as_ref().map(|viewer| viewer.get());
                let permit = customer.map(|viewer| self.admission.subscription_of(&viewer.customer_id));
                let _permit = permit.transpose().map_err(|error| refused(vec![error.into()]))?;
                tokio::select! {
                    ended = self.follow(operation, share.as_ref(), &trace) => ended,
                    () = self.closing.cancelled() => pending().await,
                }
            }
            OperationType::Query | OperationType::Mutation => {
                let _permit = self.executor.admit().map_err(|error| refused(vec![error.into()]))?;
                match self.executor.execute(operation).await {
                    ExecutionResult::RequestError { errors } => Err(Interruption::Refused(errors)),
                    result => self.send(&NextResult::Own(result), &trace).await,
                }
            }
        }
    }

    /// Sends a subscription's results.
    async fn follow(
        &self,
        operation: Operation,
        share: Option<&UpdateShare>,
        trace: &Trace,
    ) -> Result<(), Interruption> {
        let mut results = std::pin::pin!(self.executor.stream(operation));
        while let Some(result) = next_result(&mut results, share).await {
            self.send(&result?, trace).await?;
            self.send_queue.give_way().await;
        }
        Ok(())
    }

    /// Sends one result, waiting for room.
    async fn send(&self, result: &NextResult, trace: &Trace) -> Result<(), Interruption> {
        let next = ServerMessage::Next(&self.id, result).to_json(self.subprotocol);
        if next.len() > self.max_message_bytes {
            let message = format!("the result is larger than {} bytes: select less", self.max_message_bytes);
            let errors = request_errors(vec![ErrorCode::PayloadTooLarge.error(message).into()], trace);
            return Err(Interruption::Refused(errors));
        }
        self.send_queue.result(next, &self.ended).await;
        Ok(())
    }
}
