//! The results of a subscription, for whichever transport sends them.

use std::sync::Arc;

use async_graphql::{ServerError, Value};
use futures::{Stream, StreamExt};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::auth::CurrentViewer;
use crate::query::{DocumentSource, ExecutionResult, GraphqlRequest, is_retryable};
use crate::subscriptions::{OperationKey, SharedOperations, Turn, UpdateShare};

/// One result of an operation.
#[derive(Serialize)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "lives as long as it takes to write it")]
pub(super) enum NextResult {
    Own(ExecutionResult),
    /// The same bytes for several operations.
    Shared(Arc<RawValue>),
}

/// Why an operation ends early.
pub(super) enum Interruption {
    /// The operation is refused, or its result is.
    Refused(Vec<ServerError>),
    /// A subscription can't begin, or go on, for a reason that passes.
    SourceLost,
}

/// Joins the subscribers that have sent the same operation, if it may be a subscription. Its document has been found.
pub(super) fn share(
    request: &GraphqlRequest,
    operations: &SharedOperations,
    viewer: Option<&CurrentViewer>,
) -> Option<UpdateShare> {
    let DocumentSource::Found(document) = &request.document else { return None };
    if !document.contains("subscription") {
        return None;
    }
    let (name, variables) = (request.operation_name.as_deref(), request.variables.as_deref());
    let by = viewer.map(CurrentViewer::get);
    Some(operations.join(OperationKey::new(document, name, variables, by.as_deref()), viewer))
}

/// Waits for a subscription's next result; none once it has ended.
pub(super) async fn next_result(
    results: &mut (impl Stream<Item = ExecutionResult> + Unpin),
    share: Option<&UpdateShare>,
) -> Option<Result<NextResult, Interruption>> {
    let result = results.next().await?;
    let guard = match share.and_then(UpdateShare::take_turn) {
        // Another subscriber has resolved the update: what this one resolved has nothing in it.
        Some(Turn::Send(shared)) => return Some(Ok(NextResult::Shared(shared))),
        Some(Turn::Resolve(guard)) => Some(guard),
        None => None,
    };
    if is_interruption(&result) {
        return Some(Err(Interruption::SourceLost));
    }
    Some(match (guard, result) {
        (_, ExecutionResult::RequestError { errors }) => Err(Interruption::Refused(errors)),
        // Errors name the trace of the operation that met them.
        (Some(guard), ExecutionResult::Executed(response))
            if response.errors.is_empty() && share.is_some_and(UpdateShare::is_current) =>
        {
            let shared: Arc<RawValue> =
                to_raw_value(&response).expect("results are made of JSON's own types").into();
            guard.publish(Arc::clone(&shared));
            Ok(NextResult::Shared(shared))
        }
        (_, result) => Ok(NextResult::Own(result)),
    })
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
