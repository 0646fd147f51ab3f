//! The kinds of thing that are loaded in batches. Every key is answered, so that what doesn't exist is remembered too.

use async_graphql::dataloader::Loader;
use schema::customer::Customer;
use schema::domain_error::DomainResult;
use schema::ids::{CustomerId, ProductId};
use schema::order::Order;
use schema::order_messages::{HistoryEntry, ListOrders, OrderPage, OrderRef};
use schema::page::CutPage;
use schema::pattern::{CUSTOMER_GET, INVENTORY_GET, ORDER_GET, ORDER_HISTORY, ORDER_LIST};
use schema::product::Product;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use crate::graphql::fault::read_fault;
use crate::graphql::page::list_error;
use crate::orders::Backend;
use crate::query::GraphqlError;

impl Loader<CustomerId> for Backend {
    type Value = Option<Arc<Customer>>;
    type Error = GraphqlError;

    async fn load(&self, ids: &[CustomerId]) -> Result<HashMap<CustomerId, Self::Value>, GraphqlError> {
        load_each(self, CUSTOMER_GET, ids, CustomerId::clone, |found: Option<Customer>| found.map(Arc::new))
            .await
    }
}

impl Loader<ProductId> for Backend {
    type Value = Option<Arc<Product>>;
    type Error = GraphqlError;

    async fn load(&self, ids: &[ProductId]) -> Result<HashMap<ProductId, Self::Value>, GraphqlError> {
        load_each(self, INVENTORY_GET, ids, ProductId::clone, |found: Option<Product>| found.map(Arc::new))
            .await
    }
}

impl Loader<OrderRef> for Backend {
    type Value = Option<Arc<Order>>;
    type Error = GraphqlError;

    async fn load(&self, keys: &[OrderRef]) -> Result<HashMap<OrderRef, Self::Value>, GraphqlError> {
        load_each(self, ORDER_GET, keys, OrderRef::clone, |found: Option<Order>| found.map(Arc::new)).await
    }
}

/// The history of an order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct HistoryOf(pub(crate) OrderRef);

impl Loader<HistoryOf> for Backend {
    type Value = Arc<Vec<HistoryEntry>>;
    type Error = GraphqlError;

    async fn load(&self, keys: &[HistoryOf]) -> Result<HashMap<HistoryOf, Self::Value>, GraphqlError> {
        load_each(self, ORDER_HISTORY, keys, |key: &HistoryOf| key.0.clone(), Arc::new).await
    }
}

impl Loader<ListOrders> for Backend {
    /// A refusal is about one list alone, a fault about all of them.
    type Value = Result<Arc<CutPage<Arc<Order>>>, GraphqlError>;
    type Error = GraphqlError;

    async fn load(&self, keys: &[ListOrders]) -> Result<HashMap<ListOrders, Self::Value>, GraphqlError> {
        let list = |page: DomainResult<OrderPage>| match page.into_result() {
            Ok(page) => Ok(Arc::new(CutPage {
                rows: page.orders.into_iter().map(Arc::new).collect(),
                has_next_page: page.has_next_page,
                has_previous_page: page.has_previous_page,
            })),
            Err(refusal) => Err(list_error(&refusal)),
        };
        load_each(self, ORDER_LIST, keys, ListOrders::clone, list).await
    }
}

/// One request for all keys.
async fn load_each<K, Q, A, V>(
    backend: &Backend,
    pattern: &str,
    keys: &[K],
    question: impl Fn(&K) -> Q,
    value: impl Fn(A) -> V,
) -> Result<HashMap<K, V>, GraphqlError>
where
    K: Clone + Eq + Hash,
    Q: Serialize + Sync,
    A: DeserializeOwned,
{
    let questions: Vec<Q> = keys.iter().map(question).collect();
    let answers = backend.ask_each(pattern, &questions).await.map_err(|error| read_fault(&error))?;
    Ok(keys.iter().cloned().zip(answers.into_iter().map(value)).collect())
}
