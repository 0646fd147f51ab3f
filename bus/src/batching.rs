//! Batches of reads: what several callers read by one pattern travels in one request, and costs the broker, the service and
//! its database about as much as one of them alone.
//!
//! A read is sent at once while fewer than a bounded number of its pattern's batches are in flight. Reads that come
//! meanwhile wait for the first of these to end, or to be slow, and then go together. So nothing waits for a timer while the
//! service answers, a lone read is as fast as it would be without batches, and batches grow with the load.

use async_trait::async_trait;
use metrics::Histogram;
use schema::limits::REQUEST_MAX_ITEMS;
use schema::pattern::{CUSTOMER_GET, INVENTORY_GET, ORDER_GET, ORDER_HISTORY, ORDER_LIST};
use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tracing::{Instrument as _, Span};

#[cfg(test)]
mod tests;

use crate::clock::Deadline;
use crate::failure::FailureCode;
use crate::rpc_client::{RequestError, RpcClient};

/// Reads of one pattern that may wait for the next batch; more are refused.
const MAX_WAITING: usize = 4_096;
/// A batch that has been in flight for so long holds up no other any more: the copy of the service that it went to may stand
/// still while others answer.
const SLOW_AFTER: Duration = Duration::from_millis(50);
/// Bytes of a batch's items, at most, unless one read alone has more.
const MAX_BYTES: usize = 256 * 1_024;

/// How the reads of one pattern are batched.
#[derive(Debug, Clone, Copy)]
struct Limits {
    pattern: &'static str,
    /// Batches in flight at the same time.
    in_flight: usize,
    /// Items of a batch, unless one read alone has more.
    items: usize,
}

/// Two batches in flight keep a service busy: it works on one while the other one is on its way. Pages of orders are long,
/// so that a batch has few of them, and more batches are in flight.
const PATTERNS: [Limits; 5] = [
    Limits { pattern: ORDER_GET, in_flight: 2, items: 100 },
    Limits { pattern: ORDER_LIST, in_flight: 4, items: 8 },
    Limits { pattern: ORDER_HISTORY, in_flight: 2, items: 50 },
    Limits { pattern: INVENTORY_GET, in_flight: 2, items: REQUEST_MAX_ITEMS },
    Limits { pattern: CUSTOMER_GET, in_flight: 2, items: REQUEST_MAX_ITEMS },
];

/// A client that sends concurrent reads of these patterns in batches, and everything else as it comes.
///
/// Each caller keeps its own deadline; a batch has the latest of its callers'. If a batch fails for a reason that one item
/// may have, it is halved and sent again until that item is alone, so that a bad item fails its own caller only.
pub struct BatchingRpcClient {
    inner: Arc<dyn RpcClient>,
    batchers: Vec<Arc<Batcher>>,
}

impl BatchingRpcClient {
    /// Sends through `inner`. Needs a tokio runtime.
    pub fn new(inner: Arc<dyn RpcClient>) -> Self {
        Self::slow_after(inner, SLOW_AFTER)
    }

    fn slow_after(inner: Arc<dyn RpcClient>, slow_after: Duration) -> Self {
        let runtime = Handle::current();
        let batchers = PATTERNS.iter().map(|&limits| {
            let sizes = metrics::histogram!("waybill_read_batch_items", "pattern" => limits.pattern);
            let (inner, runtime) = (Arc::clone(&inner), runtime.clone());
            Arc::new(Batcher { inner, runtime, limits, slow_after, sizes, state: Mutex::default() })
        });
        Self { batchers: batchers.collect(), inner }
    }
}

#[async_trait]
impl RpcClient for BatchingRpcClient {
    async fn call(
        &self,
        pattern: &str,
        data: Box<RawValue>,
        deadline: Deadline,
    ) -> Result<Box<RawValue>, RequestError> {
        self.inner.call(pattern, data, deadline).await
    }

    async fn call_list(
        &self,
        pattern: &str,
        items: &[&RawValue],
        deadline: Deadline,
    ) -> Result<Vec<Box<RawValue>>, RequestError> {
        match self.batchers.iter().find(|batcher| batcher.limits.pattern == pattern) {
            Some(batcher) => batcher.read(items, deadline).await,
            None => self.inner.call_list(pattern, items, deadline).await,
        }
    }
}

type Answers = Result<Vec<Box<RawValue>>, RequestError>;

/// Batches the reads of one pattern.
struct Batcher {
    inner: Arc<dyn RpcClient>,
    runtime: Handle,
    limits: Limits,
    slow_after: Duration,
    sizes: Histogram,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    in_flight: usize,
    /// Empty unless as many batches as may be are in flight.
    waiting: VecDeque<WaitingRead>,
}

/// A read that waits for the next batch.
struct WaitingRead {
    items: Vec<Box<RawValue>>,
    deadline: Deadline,
    /// The caller's; a batch belongs to the trace of its first caller.
    span: Span,
    answer: oneshot::Sender<Answers>,
}

impl Batcher {
    async fn read(self: &Arc<Self>, items: &[&RawValue], deadline: Deadline) -> Answers {
        let pattern = self.limits.pattern;
        let answered = {
            let mut state = self.locked();
            if state.in_flight < self.limits.in_flight {
                state.in_flight += 1;
                None
            } else if state.waiting.len() < MAX_WAITING {
                let items = items.iter().map(|&item| item.to_owned()).collect();
                let (answer, answered) = oneshot::channel();
                state.waiting.push_back(WaitingRead { items, deadline, span: Span::current(), answer });
                Some(answered)
            } else {
                let reason = "reads wait to be sent".to_owned();
                return Err(RequestError::Overloaded { pattern: pattern.to_owned(), reason });
            }
        };
        let Some(answered) = answered else {
            // The caller's own task sends it: no other caller shares the batch.
            return self.send(items, deadline, &mut Some(Slot(Arc::clone(self)))).await;
        };
        tokio::select! {
            biased;
            answers = answered => answers.unwrap_or_else(|_| {
                let reason = "its batch was given up".to_owned();
                Err(RequestError::Unavailable { pattern: pattern.to_owned(), reason })
            }),
            () = deadline.passed() => Err(RequestError::DeadlineExceeded { pattern: pattern.to_owned() }),
        }
    }

    /// Takes the reads of the next batch; if none wait, the slot of the one that has ended is free.
    fn next_batch(&self) -> Vec<WaitingRead> {
        let mut state = self.locked();
        let (mut batch, mut items, mut bytes) = (Vec::new(), 0, 0);
        while let Some(read) = state.waiting.front() {
            items += read.items.len();
            bytes += read.items.iter().map(|item| item.get().len()).sum::<usize>();
            if !batch.is_empty() && (items > self.limits.items || bytes > MAX_BYTES) {
                break;
            }
            // The caller of a read may have given it up.
            batch.extend(state.waiting.pop_front().filter(|read| !read.answer.is_closed()));
        }
        if batch.is_empty() {
            state.in_flight -= 1;
        }
        batch
    }

    /// Sends one request. If it is slow, the slot goes to another one meanwhile.
    async fn send(&self, items: &[&RawValue], deadline: Deadline, slot: &mut Option<Slot>) -> Answers {
        self.sizes.record(items.len() as f64);
        let mut sending = self.inner.call_list(self.limits.pattern, items, deadline);
        if slot.is_some() {
            match tokio::time::timeout(self.slow_after, &mut sending).await {
                Ok(answers) => return answers,
                Err(_) => drop(slot.take()),
            }
        }
        sending.await
    }

    /// Sends a batch and answers its callers.
    async fn send_batch(&self, batch: Vec<WaitingRead>, slot: Slot) {
        let mut slot = Some(slot);
        // What is still to be sent, the next part last.
        let mut parts = vec![batch];
        while let Some(part) = parts.pop() {
            let items: Vec<&RawValue> =
                part.iter().flat_map(|read| &read.items).map(|item| &**item).collect();
            let Some(deadline) = part.iter().map(|read| read.deadline).max() else { continue };
            let answers = self.send(&items, deadline, &mut slot).await;
            let is_of_an_item = match &answers {
                Ok(answers) => answers.len() != items.len(),
                Err(error) => may_be_of_an_item(error),
            };
            if is_of_an_item && part.len() > 1 {
                let mut first = part;
                let second = first.split_off(first.len() / 2);
                parts.extend([second, first]);
            } else {
                answer(part, answers);
            }
        }
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds this lock")
    }
}

/// Gives each caller the answers to its items, or the error of all of them.
fn answer(part: Vec<WaitingRead>, answers: Answers) {
    let mut answers = answers.map(Vec::into_iter);
    let is_alone = part.len() == 1;
    for WaitingRead { items, answer, .. } in part {
        let own = match &mut answers {
            // Whether there are as many answers as items is for the caller to check.
            Ok(answers) if is_alone => Ok(answers.collect()),
            Ok(answers) => Ok(answers.take(items.len()).collect()),
            Err(error) => Err(error.clone()),
        };
        // The caller may have given it up.
        drop(answer.send(own));
    }
}

/// Whether a batch may have failed because of one of its items.
fn may_be_of_an_item(error: &RequestError) -> bool {
    let RequestError::Answered(failure) = error else { return false };
    match failure.code {
        FailureCode::Undecodable
        | FailureCode::BadRequest
        | FailureCode::AnswerTooLong
        | FailureCode::Internal => true,
        FailureCode::NoHandler
        | FailureCode::DeadlineExceeded
        | FailureCode::Overloaded
        | FailureCode::Unavailable
        | FailureCode::Undeliverable => false,
    }
}

/// The place of one of the batches in flight. When it is given up, even with a caller, what waits becomes the next batch.
struct Slot(Arc<Batcher>);

impl Drop for Slot {
    fn drop(&mut self) {
        let batch = self.0.next_batch();
        let Some(first) = batch.first() else { return };
        let (span, slot) = (first.span.clone(), Self(Arc::clone(&self.0)));
        let batcher = Arc::clone(&self.0);
        self.0.runtime.spawn(async move { batcher.send_batch(batch, slot).await }.instrument(span));
    }
}
