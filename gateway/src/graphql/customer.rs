use async_graphql::{ID, SimpleObject};
use schema::{customer as wire, ids::CustomerId};
use std::sync::Arc;

// Its orders are added beside the order, which names its customer.
#[derive(SimpleObject, Clone)]
#[graphql(complex)]
pub(crate) struct Customer {
    pub(super) id: ID,
    name: String,
    email: String,
    phone: Option<String>,
    shipping_address: String,
}

impl Customer {
    /// The customer of an order whom customer-service doesn't know: only the id can be shown.
    pub(crate) fn unknown(id: CustomerId) -> Self {
        let empty = String::new;
        Self { id: ID::from(id), name: empty(), email: empty(), phone: None, shipping_address: empty() }
    }
}

impl From<Arc<wire::Customer>> for Customer {
    fn from(customer: Arc<wire::Customer>) -> Self {
        let wire::Customer { id, name, email, phone, shipping_address } = Arc::unwrap_or_clone(customer);
        Self { id: ID::from(id), name, email, phone, shipping_address }
    }
}
