//! Loading what an operation's fields ask of other services: each kind in one request for all fields that ask for it
//! at the same time.

mod kinds;
mod turns;

use async_graphql::dataloader::{DataLoader, HashMapCache};
use schema::customer::Customer;
use schema::ids::{CustomerId, ProductId};
use schema::limits::REQUEST_MAX_ITEMS;
use schema::order::Order;
use schema::order_messages::{HistoryEntry, ListOrders, OrderRef, OrderScope};
use schema::page::CutPage;
use schema::product::Product;
use std::sync::Arc;

pub(crate) use turns::Turns;

use self::kinds::HistoryOf;
use self::turns::Immediately;
use crate::orders::Backend;
use crate::query::GraphqlError;

/// One operation's loaders. What was loaded once is not asked for again until it is [forgotten](Self::forget).
#[derive(Clone)]
pub(crate) struct Loaders(Arc<DataLoader<Backend, HashMapCache>>);

impl Loaders {
    /// Loads from `backend`, in the `turns` of the operation that asks.
    pub(crate) fn new(backend: Backend, turns: Turns) -> Self {
        let loader = DataLoader::with_cache(backend, turns, Immediately, HashMapCache::default());
        Self(Arc::new(loader.max_batch_size(REQUEST_MAX_ITEMS)))
    }

    /// The services, for what is not loaded in batches.
    pub(crate) fn backend(&self) -> &Backend {
        self.0.loader()
    }

    pub(crate) async fn customer(&self, id: CustomerId) -> Result<Option<Arc<Customer>>, GraphqlError> {
        Ok(self.0.load_one(id).await?.flatten())
    }

    pub(crate) async fn product(&self, id: ProductId) -> Result<Option<Arc<Product>>, GraphqlError> {
        Ok(self.0.load_one(id).await?.flatten())
    }

    pub(crate) async fn order(&self, key: OrderRef) -> Result<Option<Arc<Order>>, GraphqlError> {
        Ok(self.0.load_one(key).await?.flatten())
    }

    /// A page of orders.
    pub(crate) async fn orders(&self, key: ListOrders) -> Result<Arc<CutPage<Arc<Order>>>, GraphqlError> {
        let list = self.0.load_one(key).await?;
        list.expect("a loader answers every key")
    }

    /// An order's changes so far, oldest first.
    pub(crate) async fn history(&self, order: &Order) -> Result<Arc<Vec<HistoryEntry>>, GraphqlError> {
        let owner = OrderScope::Customer { customer_id: order.customer_id.clone() };
        let key = HistoryOf(OrderRef { order_id: order.id, owner });
        let history = self.0.load_one(key).await?;
        Ok(history.expect("a loader answers every key"))
    }

    /// Forgets what was loaded, so that it is asked for again.
    pub(crate) fn forget(&self) {
        self.0.clear::<CustomerId>();
        self.0.clear::<ProductId>();
        self.0.clear::<OrderRef>();
        self.0.clear::<ListOrders>();
        self.0.clear::<HistoryOf>();
    }
}
