use async_graphql::{Context, ID, SimpleObject};
use schema::{customer as wire, ids::CustomerId};
use std::sync::Arc;

use super::loaders::Loaders;
use crate::auth::{Scope, Viewer};
use crate::query::GraphqlError;

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
    /// The customer with this id: oneself, or with orders:all anybody; FORBIDDEN otherwise.
    pub(crate) async fn find(ctx: &Context<'_>, id: &ID) -> Result<Option<Self>, GraphqlError> {
        let viewer = Viewer::from_context(ctx)?;
        if id.as_str() != viewer.customer_id.as_str() {
            viewer.require(Scope::OrdersAll)?;
        }
        let Ok(id) = id.parse() else { return Ok(None) };
        Self::load(ctx, id).await
    }

    /// The customer with this id, whom the caller may see.
    pub(crate) async fn load(ctx: &Context<'_>, id: CustomerId) -> Result<Option<Self>, GraphqlError> {
        Ok(ctx.data_unchecked::<Loaders>().load(id).await?.map(Self::from))
    }

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
