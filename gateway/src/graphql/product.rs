use async_graphql::{Context, ID, Object};
use schema::{cursor::ProductCursor, ids::ProductId, inventory_messages::ProductPage, product as wire};
use std::sync::Arc;

use super::loaders::Loaders;
use super::page::Connection;
use super::scalars::{DateTime, Money, int};
use crate::query::GraphqlError;

#[derive(Clone)]
pub(crate) struct Product(pub(super) Arc<wire::Product>);

impl Product {
    /// The product with this id, for everybody.
    pub(crate) async fn find(ctx: &Context<'_>, id: &ID) -> Result<Option<Self>, GraphqlError> {
        let Ok(id) = id.parse::<ProductId>() else { return Ok(None) };
        Ok(ctx.data_unchecked::<Loaders>().load(id).await?.map(Self))
    }
}

#[Object]
impl Product {
    fn id(&self) -> ID {
        ID::from(&self.0.id)
    }

    fn name(&self) -> &str {
        &self.0.name
    }

    fn description(&self) -> &str {
        &self.0.description
    }

    fn unit_price(&self) -> Money {
        self.0.unit_price.into()
    }

    fn available_quantity(&self) -> i32 {
        int(self.0.available_quantity)
    }

    fn created_at(&self) -> DateTime {
        DateTime(self.0.created_at)
    }

    fn updated_at(&self) -> DateTime {
        DateTime(self.0.updated_at)
    }
}

impl From<ProductPage> for Connection<Product> {
    fn from(page: ProductPage) -> Self {
        let nodes = page.products.into_iter().map(|product| Product(Arc::new(product))).collect();
        let cursor = |node: &Product| ProductCursor { product_id: node.0.id.clone() }.encode();
        Self::new(nodes, cursor, page.has_next_page, page.has_previous_page)
    }
}
