use async_graphql::runtime::Timer;
use futures::future::BoxFuture;
use futures::stream::{self, FuturesUnordered, Stream, StreamExt};
use futures::task::{FutureObj, Spawn, SpawnError};
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

/// Takes turns between an operation and its loads, in the operation's own task.
///
/// The operation runs until every field that can has said what it needs; only then do the loads begin, each with all
/// the keys that came together. So a batch neither waits for a timer nor depends on how threads are scheduled, and a
/// load ends with its operation and belongs to its trace.
#[derive(Clone, Default)]
pub(crate) struct Turns(Arc<Mutex<Vec<FutureObj<'static, ()>>>>);

impl Spawn for Turns {
    fn spawn_obj(&self, load: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(load);
        Ok(())
    }
}

impl Turns {
    /// The operation's results, with its loads run in between.
    pub(crate) fn drive<S>(self, operation: S) -> impl Stream<Item = S::Item> + Send + 'static
    where
        S: Stream + Send + 'static,
    {
        let mut operation = Box::pin(operation);
        let mut loads = FuturesUnordered::new();
        stream::poll_fn(move |cx| {
            loop {
                if let Poll::Ready(result) = operation.as_mut().poll_next(cx) {
                    return Poll::Ready(result);
                }
                loads.extend(self.take());
                let mut loaded = false;
                while let Poll::Ready(Some(())) = loads.poll_next_unpin(cx) {
                    loaded = true;
                }
                if !loaded {
                    return Poll::Pending;
                }
            }
        })
    }

    fn take(&self) -> Vec<FutureObj<'static, ()>> {
        mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The pause before a load: none, since its turn comes when all keys are there.
pub(crate) struct Immediately;

impl Timer for Immediately {
    fn delay(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}
