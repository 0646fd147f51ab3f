//! The kinds of thing that are loaded in batches. Every key is answered, so that what doesn't exist is remembered too.

use async_graphql::dataloader::Loader;
use schema::customer::Customer;
use schema::domain_error::DomainResult;
use schema::ids::{CustomerId, OrderId, ProductId};
use schema::order::{Order, OrderStatus};
use schema::order_messages::{HistoryEntry, ListOrders, OrderPage, OrderRef, OrderScope};
use schema::page::Page;
use schema::pattern::{CUSTOMER_GET, INVENTORY_GET, ORDER_GET, ORDER_HISTORY, ORDER_LIST};
use schema::product::Product;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use crate::graphql::fault::read_fault;
use crate::graphql::page::{PageKey, refused_list};
use crate::orders::{Backend, Reach};
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

/// An order, if it is within reach.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct OrderKey {
    pub(crate) order_id: OrderId,
    pub(crate) reach: Reach,
}

impl Loader<OrderKey> for Backend {
    type Value = Option<Arc<Order>>;
    type Error = GraphqlError;

    async fn load(&self, keys: &[OrderKey]) -> Result<HashMap<OrderKey, Self::Value>, GraphqlError> {
        let question = |key: &OrderKey| OrderRef { order_id: key.order_id, owner: key.reach.clone().into() };
        load_each(self, ORDER_GET, keys, question, |found: Option<Order>| found.map(Arc::new)).await
    }
}

/// The history of an order that is at hand, and so within reach.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct HistoryKey {
    pub(crate) order_id: OrderId,
    pub(crate) customer_id: CustomerId,
}

impl Loader<HistoryKey> for Backend {
    type Value = Arc<Vec<HistoryEntry>>;
    type Error = GraphqlError;

    async fn load(&self, keys: &[HistoryKey]) -> Result<HashMap<HistoryKey, Self::Value>, GraphqlError> {
        let question = |key: &HistoryKey| OrderRef {
            order_id: key.order_id,
            owner: OrderScope::Customer { customer_id: key.customer_id.clone() },
        };
        load_each(self, ORDER_HISTORY, keys, question, Arc::new).await
    }
}

/// A page of one customer's orders.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ListKey {
    pub(crate) customer_id: CustomerId,
    pub(crate) statuses: Option<Vec<OrderStatus>>,
    pub(crate) page: PageKey,
}

/// A page of orders that are shared rather than copied.
#[derive(Debug)]
pub(crate) struct OrderList {
    pub(crate) orders: Vec<Arc<Order>>,
    pub(crate) has_next_page: bool,
    pub(crate) has_previous_page: bool,
}

impl Loader<ListKey> for Backend {
    /// A refusal is about one list alone, a fault about all of them.
    type Value = Result<Arc<OrderList>, GraphqlError>;
    type Error = GraphqlError;

    async fn load(&self, keys: &[ListKey]) -> Result<HashMap<ListKey, Self::Value>, GraphqlError> {
        let question = |key: &ListKey| ListOrders {
            owner: OrderScope::Customer { customer_id: key.customer_id.clone() },
            statuses: key.statuses.clone(),
            page: Page::from(key.page.clone()),
        };
        let list = |page: DomainResult<OrderPage>| match page.into_result() {
            Ok(page) => Ok(Arc::new(OrderList {
                orders: page.orders.into_iter().map(Arc::new).collect(),
                has_next_page: page.has_next_page,
                has_previous_page: page.has_previous_page,
            })),
            Err(refusal) => Err(refused_list(&refusal)),
        };
        load_each(self, ORDER_LIST, keys, question, list).await
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
