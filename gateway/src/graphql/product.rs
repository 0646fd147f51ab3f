use async_graphql::{ID, Object, SimpleObject};
use schema::cursor::ProductCursor;
use schema::inventory_messages::ProductPage;
use schema::product as wire;
use std::sync::Arc;

use super::page::PageInfo;
use super::scalars::{DateTime, Money, int};

#[derive(Clone)]
pub(crate) struct Product(Arc<wire::Product>);

impl From<Arc<wire::Product>> for Product {
    fn from(product: Arc<wire::Product>) -> Self {
        Self(product)
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

#[derive(SimpleObject)]
pub(crate) struct ProductConnection {
    edges: Vec<ProductEdge>,
    nodes: Vec<Product>,
    page_info: PageInfo,
}

#[derive(SimpleObject)]
pub(crate) struct ProductEdge {
    cursor: String,
    node: Product,
}

impl From<ProductPage> for ProductConnection {
    fn from(page: ProductPage) -> Self {
        let nodes: Vec<Product> =
            page.products.into_iter().map(|product| Product(Arc::new(product))).collect();
        let edges: Vec<ProductEdge> = nodes.iter().cloned().map(ProductEdge::from).collect();
        let page_info = PageInfo {
            has_next_page: page.has_next_page,
            has_previous_page: page.has_previous_page,
            start_cursor: edges.first().map(|edge| edge.cursor.clone()),
            end_cursor: edges.last().map(|edge| edge.cursor.clone()),
        };
        Self { edges, nodes, page_info }
    }
}

impl From<Product> for ProductEdge {
    fn from(node: Product) -> Self {
        let cursor = ProductCursor { product_id: node.0.id.clone() }.encode();
        Self { cursor, node }
    }
}
