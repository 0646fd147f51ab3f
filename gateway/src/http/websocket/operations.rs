//! The operations under way on one socket.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_graphql::{Executor, ServerError, parser::types::OperationType};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::{message::ServerMessage, outbox::Outbox};
use crate::{
    auth::Viewer,
    http::{
        ErrorCode,
        engine::{Engine, GraphqlRequest, Operation},
        outcome::GraphqlResult,
        trace::Trace,
    },
};

/// Ids in use, each with the token that ends its operation.
#[derive(Clone, Default)]
pub(super) struct Operations(Arc<Mutex<HashMap<String, CancellationToken>>>);

/// Why an operation can't begin.
pub(super) enum NotBegun {
    IdInUse,
    TooMany,
}

impl Operations {
    /// Reserves an id.
    pub(super) fn begin(&self, id: &str, limit: usize) -> Result<CancellationToken, NotBegun> {
        let mut running = self.lock();
        let full = running.len() >= limit;
        match running.entry(id.to_owned()) {
            Entry::Occupied(_) => Err(NotBegun::IdInUse),
            Entry::Vacant(_) if full => Err(NotBegun::TooMany),
            Entry::Vacant(slot) => Ok(slot.insert(CancellationToken::new()).clone()),
        }
    }

    /// Ends an operation on the client's word, and frees its id.
    pub(super) fn complete(&self, id: &str) {
        if let Some(ended) = self.lock().remove(id) {
            ended.cancel();
        }
    }

    /// Frees the id of an operation that ended by itself, unless the client was first: then the id
    /// may name another operation by now. Says whether the client still waits for an ending.
    fn end(&self, id: &str, ended: &CancellationToken) -> bool {
        let mut running = self.lock();
        let still_ours = !ended.is_cancelled();
        if still_ours {
            running.remove(id);
        }
        still_ours
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, CancellationToken>> {
        // Nothing panics while holding the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One operation on its way from request to last message.
pub(super) struct Run<E> {
    pub(super) id: String,
    pub(super) engine: Engine<E>,
    pub(super) caller: Option<Viewer>,
    pub(super) outbox: Outbox,
    pub(super) operations: Operations,
    pub(super) ended: CancellationToken,
    pub(super) max_message_bytes: usize,
}

/// How an operation went: to its end, or refused before that.
type Ending = Result<(), Vec<ServerError>>;

impl<E: Executor> Run<E> {
    /// Runs the operation. The id is free again before the peer can read that the operation ended,
    /// since it may use it at once.
    pub(super) async fn run(self, request: GraphqlRequest) {
        let ended = self.ended.clone();
        let Some(ending) = ended.run_until_cancelled(self.to_its_end(request)).await else {
            return;
        };
        if !self.operations.end(&self.id, &self.ended) {
            return;
        }
        let id = &self.id;
        let last = match &ending {
            Ok(()) => ServerMessage::Complete { id },
            Err(errors) => ServerMessage::Error { id, payload: errors },
        };
        // The id is no longer ours to cancel; this message is due in any case.
        self.outbox.result(last.to_json(), &CancellationToken::new()).await;
    }

    async fn to_its_end(&self, request: GraphqlRequest) -> Ending {
        let trace = Trace::root();
        let refused = |error: ServerError| GraphqlResult::request_error(error, trace.id).errors;
        let operation = self.engine.prepare(request, &self.caller, &trace).await.map_err(refused)?;
        match operation.kind {
            OperationType::Subscription => self.follow(operation, &trace).await,
            OperationType::Query | OperationType::Mutation => {
                let _permit = self.engine.admit().map_err(|error| refused(error.into()))?;
                let result = self.engine.execute(operation).await;
                self.send(result, &trace).await
            }
        }
    }

    async fn follow(&self, operation: Operation, trace: &Trace) -> Ending {
        let mut results = std::pin::pin!(self.engine.stream(operation));
        while let Some(result) = results.next().await {
            self.send(result, trace).await?;
        }
        Ok(())
    }

    /// Sends one result, waiting for room. A request error ends the operation instead.
    async fn send(&self, result: GraphqlResult, trace: &Trace) -> Ending {
        if result.is_request_error() {
            return Err(result.errors);
        }
        let next = ServerMessage::Next { id: &self.id, payload: &result }.to_json();
        if next.len() > self.max_message_bytes {
            let limit = self.max_message_bytes;
            let error =
                ErrorCode::PayloadTooLarge.error(format!("the result is over {limit} bytes, select less"));
            return Err(GraphqlResult::request_error(error, trace.id).errors);
        }
        self.outbox.result(next, &self.ended).await;
        Ok(())
    }
}
