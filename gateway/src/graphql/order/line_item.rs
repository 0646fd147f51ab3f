use async_graphql::{Context, ID, Object};
use schema::order as wire;
use std::sync::Arc;

use crate::graphql::loading::Loaders;
use crate::graphql::money::Money;
use crate::graphql::nullable::{Nullable, nullable};
use crate::graphql::product::Product;
use crate::graphql::scalars::int;

/// One line of an order that it shares.
pub(crate) struct OrderLineItem {
    order: Arc<wire::Order>,
    index: usize,
}

impl OrderLineItem {
    /// Every line of an order, in its order.
    pub(crate) fn all_of(order: &Arc<wire::Order>) -> Vec<Self> {
        (0..order.line_items.len()).map(|index| Self { order: Arc::clone(order), index }).collect()
    }

    fn line(&self) -> &wire::LineItem {
        &self.order.line_items[self.index]
    }
}

#[Object]
impl OrderLineItem {
    /// Derived from the order and the product; never changes.
    fn id(&self) -> ID {
        ID::from(self.line().id)
    }

    fn product_id(&self) -> ID {
        ID::from(&self.line().product_id)
    }

    /// The product as the catalogue has it now; null where it left the catalogue.
    async fn product(&self, ctx: &Context<'_>) -> Nullable<Product> {
        nullable(async {
            let product_id = self.line().product_id.clone();
            Ok(ctx.data_unchecked::<Loaders>().product(product_id).await?.map(Product::from))
        })
        .await
    }

    /// The product's name when it was ordered.
    fn product_name(&self) -> Option<&str> {
        self.line().product_name.as_deref()
    }

    fn quantity(&self) -> i32 {
        int(self.line().quantity)
    }

    /// The price when it was ordered.
    fn unit_price(&self) -> Option<Money> {
        self.line().unit_price.map(Money::from)
    }

    fn total_price(&self) -> Option<Money> {
        let line = self.line();
        line.unit_price?.times(line.quantity).map(Money::from)
    }
}
