use async_graphql::parser::types::Field;
use async_graphql::registry::Registry;
use async_graphql::{ContextSelectionSet, OutputType, Positioned, ServerError, ServerResult, Value};
use std::borrow::Cow;
use std::mem;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use super::UpdatePatience;
use crate::graphql::loading::Loaders;

/// One subscription under way.
#[derive(Clone)]
pub(super) struct Operation {
    loaders: Loaders,
    patience: UpdatePatience,
    ended: Arc<AtomicBool>,
}

impl Operation {
    pub(super) fn new(loaders: Loaders, patience: UpdatePatience) -> Self {
        Self { loaders, patience, ended: Arc::default() }
    }

    /// Whether an update could not be resolved; nothing may come after it.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

/// An update whose nested fields are resolved afresh, and again while one of them fails for a reason that may pass.
///
/// An update that were sent with such a field missing would be lost to a subscriber who goes on from its cursor. So when
/// patience ends, the operation ends with a retryable error, and the update is still ahead of the last cursor.
pub(crate) struct Resolved<T> {
    update: T,
    operation: Operation,
}

impl<T> Resolved<T> {
    pub(super) fn new(update: T, operation: Operation) -> Self {
        Self { update, operation }
    }
}

impl<T: OutputType> OutputType for Resolved<T> {
    fn type_name() -> Cow<'static, str> {
        T::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        T::create_type_info(registry)
    }

    async fn resolve(&self, ctx: &ContextSelectionSet<'_>, field: &Positioned<Field>) -> ServerResult<Value> {
        let Operation { loaders, patience, ended } = &self.operation;
        let mut failures = 0;
        loop {
            // What was loaded for the update before has changed since.
            loaders.forget();
            let result = self.update.resolve(ctx, field).await;
            let Some(error) = take_passing_errors(ctx, &result) else { return result };
            failures += 1;
            if failures > patience.retries {
                ended.store(true, Ordering::Release);
                let path = ctx.set_error_path(ServerError::new("", None)).path;
                return Err(ServerError { path, locations: vec![field.pos], ..error });
            }
            tokio::time::sleep(patience.backoff.pause(failures)).await;
        }
    }
}

/// The first error of this resolution that may pass; where there is one, all errors of nullable fields are taken back.
fn take_passing_errors(ctx: &ContextSelectionSet<'_>, result: &ServerResult<Value>) -> Option<ServerError> {
    // One operation resolves one update at a time, so these are this update's errors.
    let mut errors = ctx.query_env.errors.lock().unwrap_or_else(PoisonError::into_inner);
    let error = errors.iter().chain(result.as_ref().err()).find(|error| may_pass(error)).cloned()?;
    drop(mem::take(&mut *errors));
    Some(error)
}

fn may_pass(error: &ServerError) -> bool {
    let retryable = error.extensions.as_ref().and_then(|extensions| extensions.get("retryable"));
    retryable == Some(&Value::Boolean(true))
}
