//! What an operation's fields request of other services: each kind in one request for all fields that need it at the
//! same time. Every key is answered, so that a missing entry is remembered too.

use async_graphql::dataloader::{DataLoader, HashMapCache, Loader};
use async_graphql::runtime::Timer;
use futures::future::BoxFuture;
use futures::stream::{self, FuturesUnordered, Stream, StreamExt};
use futures::task::{FutureObj, Spawn, SpawnError};
use schema::cursor::OrderCursor;
use schema::customer::Customer;
use schema::domain_error::DomainResult;
use schema::ids::{CustomerId, ProductId};
use schema::limits::{PAGE_DEFAULT, REQUEST_MAX_ITEMS};
use schema::order::Order;
use schema::order_messages::{HistoryEntry, ListOrders, OrderPage, OrderRef};
use schema::page::CutPage;
use schema::pattern::{CUSTOMER_GET, INVENTORY_GET, ORDER_GET, ORDER_HISTORY, ORDER_LIST};
use schema::product::Product;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{collections::HashMap, hash::Hash, mem, task::Poll, time::Duration};

use super::errors::{list_error, query_error};
use crate::orders::{ServiceClient, read_result};
use crate::query::GraphqlError;

/// One operation's loaders. A loaded entry is not requested again until [`Self::forget`].
#[derive(Clone)]
pub(crate) struct Loaders(Arc<DataLoader<ServiceClient, HashMapCache>>);

impl Loaders {
    pub(crate) fn new(client: ServiceClient, scheduler: BatchScheduler) -> Self {
        let loader = DataLoader::with_cache(client, scheduler, NoDelay, HashMapCache::default());
        Self(Arc::new(loader.max_batch_size(REQUEST_MAX_ITEMS)))
    }

    /// The client, for requests that are not batched.
    pub(crate) fn client(&self) -> &ServiceClient {
        self.0.loader()
    }

    pub(crate) async fn load<K: Key>(&self, key: K) -> Result<K::Answer, GraphqlError> {
        Ok(self.0.load_one(key).await?.expect("a loader answers every key"))
    }

    pub(crate) fn forget(&self) {
        self.0.clear::<CustomerId>();
        self.0.clear::<ProductId>();
        self.0.clear::<OrderRef>();
        self.0.clear::<ListOrders>();
        self.0.clear::<HistoryOf>();
    }
}

/// A key that one service answers by one pattern.
pub(crate) trait Key: Clone + Eq + Hash + Serialize + Send + Sync + 'static {
    const PATTERN: &str;
    type Answer: Clone + DeserializeOwned + Send + Sync + 'static;

    /// What is still to be requested if the answer is a part only.
    fn rest(&self, _: &Self::Answer) -> Option<Self> {
        None
    }

    /// The answer with the rest of it.
    fn join(&self, _: &Self::Answer, rest: &Self::Answer) -> Self::Answer {
        rest.clone()
    }
}

impl Key for CustomerId {
    const PATTERN: &str = CUSTOMER_GET;
    type Answer = Option<Arc<Customer>>;
}

impl Key for ProductId {
    const PATTERN: &str = INVENTORY_GET;
    type Answer = Option<Arc<Product>>;
}

impl Key for OrderRef {
    const PATTERN: &str = ORDER_GET;
    type Answer = Option<Arc<Order>>;
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub(crate) struct HistoryOf(pub(super) OrderRef);

impl Key for HistoryOf {
    const PATTERN: &str = ORDER_HISTORY;
    type Answer = Arc<Vec<HistoryEntry>>;
}

/// A page of long orders comes in parts: order-service answers as many as a message holds.
impl Key for ListOrders {
    const PATTERN: &str = ORDER_LIST;
    type Answer = OrderList;

    fn rest(&self, answer: &OrderList) -> Option<Self> {
        let page = answer.0.as_ref().ok()?;
        let found = u32::try_from(page.rows.len()).ok()?;
        let (first, last) = (page.rows.first()?, page.rows.last()?);
        let cursor = |order: &Order| {
            let customer_id = order.customer_id.clone();
            Some(OrderCursor { created_at: order.created_at, order_id: order.id, customer_id }.encode())
        };
        let missing = |size: u32| size.checked_sub(found).filter(|&missing| missing > 0);
        let mut rest = self.clone();
        if let Some(size) = self.page.last {
            rest.page.last = Some(missing(size).filter(|_| page.has_previous_page)?);
            rest.page.before = cursor(first);
        } else {
            let size = self.page.first.unwrap_or(PAGE_DEFAULT);
            rest.page.first = Some(missing(size).filter(|_| page.has_next_page)?);
            rest.page.after = cursor(last);
        }
        Some(rest)
    }

    fn join(&self, part: &OrderList, rest: &OrderList) -> OrderList {
        let (Ok(part), Ok(rest)) = (&part.0, &rest.0) else { return rest.clone() };
        let backwards = self.page.last.is_some();
        let (newer, older) = if backwards { (rest, part) } else { (part, rest) };
        let rows = newer.rows.iter().chain(&older.rows).cloned().collect();
        // A service that answers nothing, and that there is more, is not asked for ever.
        let goes_on = !rest.rows.is_empty();
        let has_previous_page = newer.has_previous_page && (goes_on || !backwards);
        let has_next_page = older.has_next_page && (goes_on || backwards);
        OrderList(Ok(Arc::new(CutPage { rows, has_next_page, has_previous_page })))
    }
}

/// A refusal concerns one list alone, a failed request all of them.
#[derive(Clone)]
pub(crate) struct OrderList(pub(super) Result<Arc<CutPage<Arc<Order>>>, GraphqlError>);

impl<'de> Deserialize<'de> for OrderList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = <&RawValue>::deserialize(deserializer)?;
        Ok(read_result::<OrderPage>(json.get()).map_err(D::Error::custom)?.into())
    }
}

impl From<DomainResult<OrderPage>> for OrderList {
    fn from(page: DomainResult<OrderPage>) -> Self {
        let shared = |OrderPage { orders, has_next_page, has_previous_page }| {
            let rows = orders.into_iter().map(Arc::new).collect();
            Arc::new(CutPage { rows, has_next_page, has_previous_page })
        };
        Self(page.into_result().map(shared).map_err(|error| list_error(&error)))
    }
}

impl<K: Key> Loader<K> for ServiceClient {
    type Value = K::Answer;
    type Error = GraphqlError;

    /// Sends the keys as one request, and pairs them with their answers.
    async fn load(&self, keys: &[K]) -> Result<HashMap<K, K::Answer>, GraphqlError> {
        let call = async |keys: &[K]| -> Result<Vec<K::Answer>, GraphqlError> {
            self.call_batch(K::PATTERN, keys).await.map_err(|error| query_error(&error))
        };
        let mut answers = call(keys).await?;
        loop {
            let rests = keys.iter().zip(&answers).enumerate();
            let rests = rests.filter_map(|(index, (key, answer))| Some((index, key.rest(answer)?)));
            let (indexes, rests): (Vec<usize>, Vec<K>) = rests.unzip();
            if rests.is_empty() {
                return Ok(keys.iter().cloned().zip(answers).collect());
            }
            for (index, rest) in indexes.into_iter().zip(call(&rests).await?) {
                answers[index] = keys[index].join(&answers[index], &rest);
            }
        }
    }
}

/// Alternates between an operation and its loads, in the operation's own task. The operation runs until every field has
/// requested what it needs; only then do the loads begin, each with all requested keys. So a batch neither waits for a
/// timer nor depends on how threads are scheduled, and a load ends with its operation and belongs to its trace.
#[derive(Clone, Default)]
pub(crate) struct BatchScheduler(Arc<Mutex<Vec<FutureObj<'static, ()>>>>);

impl Spawn for BatchScheduler {
    fn spawn_obj(&self, load: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.loads().push(load);
        Ok(())
    }
}

impl BatchScheduler {
    /// The operation's results, with its loads run in between.
    pub(crate) fn drive<S: Stream + Send + 'static>(
        self,
        operation: S,
    ) -> impl Stream<Item = S::Item> + Send + 'static {
        let mut operation = Box::pin(operation);
        let mut loads = FuturesUnordered::new();
        stream::poll_fn(move |cx| {
            loop {
                if let Poll::Ready(result) = operation.as_mut().poll_next(cx) {
                    return Poll::Ready(result);
                }
                loads.extend(mem::take(&mut *self.loads()));
                if !matches!(loads.poll_next_unpin(cx), Poll::Ready(Some(()))) {
                    return Poll::Pending;
                }
                while let Poll::Ready(Some(())) = loads.poll_next_unpin(cx) {}
            }
        })
    }

    fn loads(&self) -> MutexGuard<'_, Vec<FutureObj<'static, ()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pause before a load: none, since the scheduler starts it when all keys are there.
struct NoDelay;

impl Timer for NoDelay {
    fn delay(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}
