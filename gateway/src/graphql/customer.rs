use async_graphql::{Context, ID, Object};
use schema::customer as wire;
use schema::ids::CustomerId;
use std::sync::Arc;

use super::nullable::{Nullable, nullable};
use super::order::{OrderConnection, OrderStatus, list_orders};
use super::page::page_cost;

#[derive(Clone)]
pub(crate) struct Customer(Arc<wire::Customer>);

impl Customer {
    /// The customer of an order whom customer-service doesn't know: all there is to show is the id.
    pub(crate) fn unknown(id: CustomerId) -> Self {
        let nothing = String::new;
        Self(Arc::new(wire::Customer {
            id,
            name: nothing(),
            email: nothing(),
            phone: None,
            shipping_address: nothing(),
        }))
    }
}

impl From<Arc<wire::Customer>> for Customer {
    fn from(customer: Arc<wire::Customer>) -> Self {
        Self(customer)
    }
}

#[Object]
impl Customer {
    fn id(&self) -> ID {
        ID::from(&self.0.id)
    }

    fn name(&self) -> &str {
        &self.0.name
    }

    fn email(&self) -> &str {
        &self.0.email
    }

    fn phone(&self) -> Option<&str> {
        self.0.phone.as_deref()
    }

    fn shipping_address(&self) -> &str {
        &self.0.shipping_address
    }

    #[graphql(complexity = "page_cost(first, last, child_complexity)")]
    async fn orders(
        &self,
        ctx: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
        statuses: Option<Vec<OrderStatus>>,
    ) -> Nullable<OrderConnection> {
        nullable(async {
            let customer_id = Some(self.0.id.as_str());
            list_orders(ctx, customer_id, first, after, last, before, statuses).await.map(Some)
        })
        .await
    }
}
