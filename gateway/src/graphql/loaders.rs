//! What an operation's fields request of other services: each kind in one request for all fields that need it at the
//! same time. Every key is answered, so that a missing entry is remembered too.

use async_graphql::dataloader::{DataLoader, HashMapCache, Loader};
use async_graphql::runtime::Timer;
use futures::future::BoxFuture;
use futures::stream::{self, FuturesUnordered, Stream, StreamExt};
use futures::task::{FutureObj, Spawn, SpawnError};
use schema::customer::Customer;
use schema::domain_error::DomainResult;
use schema::ids::{CustomerId, ProductId};
use schema::limits::REQUEST_MAX_ITEMS;
use schema::order::Order;
use schema::order_messages::{HistoryEntry, ListOrders, OrderPage, OrderRef, OrderScope};
use schema::page::CutPage;
use schema::pattern::{CUSTOMER_GET, INVENTORY_GET, ORDER_GET, ORDER_HISTORY, ORDER_LIST};
use schema::product::Product;
use serde::{Serialize, de::DeserializeOwned};
use std::collections::HashMap;
use std::hash::Hash;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use super::errors::{list_error, query_error};
use crate::{orders::ServiceClient, query::GraphqlError};

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

    pub(crate) async fn customer(&self, id: CustomerId) -> Result<Option<Arc<Customer>>, GraphqlError> {
        Ok(self.0.load_one(id).await?.flatten())
    }

    pub(crate) async fn product(&self, id: ProductId) -> Result<Option<Arc<Product>>, GraphqlError> {
        Ok(self.0.load_one(id).await?.flatten())
    }

    pub(crate) async fn order(&self, order: OrderRef) -> Result<Option<Arc<Order>>, GraphqlError> {
        Ok(self.0.load_one(order).await?.flatten())
    }

    pub(crate) async fn orders(&self, list: ListOrders) -> Result<Arc<CutPage<Arc<Order>>>, GraphqlError> {
        self.0.load_one(list).await?.expect("a loader answers every key")
    }

    /// An order's changes so far, oldest first.
    pub(crate) async fn history(&self, order: &Order) -> Result<Arc<Vec<HistoryEntry>>, GraphqlError> {
        let owner = OrderScope::Customer { customer_id: order.customer_id.clone() };
        let history = self.0.load_one(HistoryOf(OrderRef { order_id: order.id, owner })).await?;
        Ok(history.expect("a loader answers every key"))
    }

    pub(crate) fn forget(&self) {
        self.0.clear::<CustomerId>();
        self.0.clear::<ProductId>();
        self.0.clear::<OrderRef>();
        self.0.clear::<ListOrders>();
        self.0.clear::<HistoryOf>();
    }
}

impl Loader<CustomerId> for ServiceClient {
    type Value = Option<Arc<Customer>>;
    type Error = GraphqlError;

    async fn load(&self, ids: &[CustomerId]) -> Result<HashMap<CustomerId, Self::Value>, GraphqlError> {
        load_each(self, CUSTOMER_GET, ids, |found: Option<Customer>| found.map(Arc::new)).await
    }
}

impl Loader<ProductId> for ServiceClient {
    type Value = Option<Arc<Product>>;
    type Error = GraphqlError;

    async fn load(&self, ids: &[ProductId]) -> Result<HashMap<ProductId, Self::Value>, GraphqlError> {
        load_each(self, INVENTORY_GET, ids, |found: Option<Product>| found.map(Arc::new)).await
    }
}

impl Loader<OrderRef> for ServiceClient {
    type Value = Option<Arc<Order>>;
    type Error = GraphqlError;

    async fn load(&self, orders: &[OrderRef]) -> Result<HashMap<OrderRef, Self::Value>, GraphqlError> {
        load_each(self, ORDER_GET, orders, |found: Option<Order>| found.map(Arc::new)).await
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
struct HistoryOf(OrderRef);

impl Loader<HistoryOf> for ServiceClient {
    type Value = Arc<Vec<HistoryEntry>>;
    type Error = GraphqlError;

    async fn load(&self, orders: &[HistoryOf]) -> Result<HashMap<HistoryOf, Self::Value>, GraphqlError> {
        load_each(self, ORDER_HISTORY, orders, Arc::new).await
    }
}

impl Loader<ListOrders> for ServiceClient {
    /// A refusal concerns one list alone, a failed request all of them.
    type Value = Result<Arc<CutPage<Arc<Order>>>, GraphqlError>;
    type Error = GraphqlError;

    async fn load(&self, lists: &[ListOrders]) -> Result<HashMap<ListOrders, Self::Value>, GraphqlError> {
        let shared = |page: DomainResult<OrderPage>| match page.into_result() {
            Ok(OrderPage { orders, has_next_page, has_previous_page }) => {
                let rows = orders.into_iter().map(Arc::new).collect();
                Ok(Arc::new(CutPage { rows, has_next_page, has_previous_page }))
            }
            Err(error) => Err(list_error(&error)),
        };
        load_each(self, ORDER_LIST, lists, shared).await
    }
}

/// Sends the keys as one request, and pairs them with their answers.
async fn load_each<K, A, V>(
    client: &ServiceClient,
    pattern: &str,
    keys: &[K],
    value: impl Fn(A) -> V,
) -> Result<HashMap<K, V>, GraphqlError>
where
    K: Clone + Eq + Hash + Serialize + Sync,
    A: DeserializeOwned,
{
    let answers = client.call_batch(pattern, keys).await.map_err(|error| query_error(&error))?;
    Ok(keys.iter().cloned().zip(answers.into_iter().map(value)).collect())
}

/// Alternates between an operation and its loads, in the operation's own task.
///
/// The operation runs until every field has requested what it needs; only then do the loads begin, each with all keys
/// that were requested. So a batch neither waits for a timer nor depends on how threads are scheduled, and a load ends
/// with its operation and belongs to its trace.
#[derive(Clone, Default)]
pub(crate) struct BatchScheduler(Arc<Mutex<Vec<FutureObj<'static, ()>>>>);

impl Spawn for BatchScheduler {
    fn spawn_obj(&self, load: FutureObj<'static, ()>) -> Result<(), SpawnError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(load);
        Ok(())
    }
}

impl BatchScheduler {
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

/// The pause before a load: none, since the scheduler starts it when all keys are there.
struct NoDelay;

impl Timer for NoDelay {
    fn delay(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
}
