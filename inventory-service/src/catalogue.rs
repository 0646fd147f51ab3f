//! Reads the catalogue.

use std::collections::HashMap;

use schema::domain_error::DomainError;
use schema::ids::ProductId;
use schema::inventory_messages::{ListProducts, ProductPage};
use schema::product::Product;
use sea_orm::sea_query::{Expr, ExprTrait as _, LikeExpr};
use sea_orm::{
    ColumnTrait as _, EntityTrait as _, Order, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};
use store::StoreError;
use store::bulk::is_any;

use crate::inventory::Inventory;
use crate::tables::product;

impl Inventory {
    /// Returns the products of these ids, in the same order; `None` for an id that the catalogue does not have.
    pub async fn get(&self, ids: &[ProductId]) -> Result<Vec<Option<Product>>, StoreError> {
        let rows = product::Entity::find()
            .filter(is_any(self.database.backend(), product::Column::Id, ids.iter().map(ProductId::as_str)))
            .all(self.database.read())
            .await?;
        let products: Vec<Product> = products(rows)?;
        let by_id: HashMap<&ProductId, &Product> =
            products.iter().map(|product| (&product.id, product)).collect();
        Ok(ids.iter().map(|id| by_id.get(id).map(|&product| product.clone())).collect())
    }

    /// Returns a page of the catalogue by id, or a refusal of the search, the size or the cursors.
    pub async fn list(&self, list: &ListProducts) -> Result<Result<ProductPage, DomainError>, StoreError> {
        let bounds = match list.bounds() {
            Ok(bounds) => bounds,
            Err(error) => return Ok(Err(error)),
        };
        let mut select = product::Entity::find().filter(product::Column::Withdrawn.eq(false));
        if let Some(search) = &list.search {
            let pattern = format!("%{}%", escape(&search.trim().to_lowercase()));
            let pattern = LikeExpr::new(pattern).escape('\\');
            select = select.filter(Expr::col(product::Column::SearchText).like(pattern));
        }
        if let Some(after) = &bounds.after {
            select = select.filter(product::Column::Id.gt(after.product_id.as_str()));
        }
        if let Some(before) = &bounds.before {
            select = select.filter(product::Column::Id.lt(before.product_id.as_str()));
        }
        let direction = if bounds.reads_forwards() { Order::Asc } else { Order::Desc };
        let select = select.order_by(product::Column::Id, direction).limit(bounds.limit());
        let page = bounds.cut(select.all(self.database.read()).await?);
        Ok(Ok(ProductPage {
            products: products(page.rows)?,
            has_next_page: page.has_next_page,
            has_previous_page: page.has_previous_page,
        }))
    }

    /// Returns a currency of the catalogue's prices that is not the service's own, if there is one: no order could be
    /// totalled in both.
    pub async fn other_currency(&self) -> Result<Option<String>, StoreError> {
        let other = product::Entity::find()
            .select_only()
            .column(product::Column::Currency)
            .filter(product::Column::Currency.ne(self.currency.code()))
            .limit(1)
            .into_tuple()
            .one(self.database.read());
        Ok(other.await?)
    }
}

/// Escapes LIKE's wildcards, and the escape character itself.
fn escape(search: &str) -> String {
    search.replace('\\', r"\\").replace('%', r"\%").replace('_', r"\_")
}

fn products(rows: Vec<product::Model>) -> Result<Vec<Product>, StoreError> {
    rows.into_iter().map(|row| Ok(row.into_product()?.to_product())).collect()
}
