//! Reading the catalogue.

use std::collections::HashMap;

use schema::cursor::ProductCursor;
use schema::domain_error::{DomainError, DomainErrorCode};
use schema::ids::ProductId;
use schema::inventory_messages::{ListProducts, ProductPage};
use schema::limits::{SEARCH_MAX_CHARS, validate_text};
use schema::page::{Slice, cut};
use schema::product::Product;
use sea_orm::sea_query::{Expr, ExprTrait as _, LikeExpr};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _};
use store::StoreError;

use crate::inventory::Inventory;
use crate::storage::product as read_product;
use crate::storage::tables::product;

impl Inventory {
    /// The products of these ids, in the order asked; nothing for an id that the catalogue doesn't have.
    pub async fn get(&self, ids: &[ProductId]) -> Result<Vec<Option<Product>>, StoreError> {
        let rows = product::Entity::find()
            .filter(product::Column::Id.is_in(ids.iter().map(ProductId::as_str)))
            .all(self.database.read())
            .await?;
        let products: Vec<Product> = products(rows)?;
        let by_id: HashMap<&ProductId, &Product> =
            products.iter().map(|product| (&product.id, product)).collect();
        Ok(ids.iter().map(|id| by_id.get(id).map(|&product| product.clone())).collect())
    }

    /// A page of the catalogue by id, or why it can't be had.
    pub async fn list(&self, list: &ListProducts) -> Result<Result<ProductPage, DomainError>, StoreError> {
        let listing = match Listing::read(list) {
            Ok(listing) => listing,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut select = product::Entity::find();
        if let Some(search) = &listing.search {
            let pattern = LikeExpr::new(format!("%{}%", escape(search))).escape('\\');
            select = select.filter(Expr::col(product::Column::SearchText).like(pattern));
        }
        if let Some(after) = &listing.after {
            select = select.filter(product::Column::Id.gt(after.as_str()));
        }
        if let Some(before) = &listing.before {
            select = select.filter(product::Column::Id.lt(before.as_str()));
        }
        let (select, size, bounded) = match listing.slice {
            Slice::First(size) => (select.order_by_asc(product::Column::Id), size, listing.after.is_some()),
            Slice::Last(size) => (select.order_by_desc(product::Column::Id), size, listing.before.is_some()),
        };
        let rows = select.limit(u64::from(size) + 1).all(self.database.read()).await?;
        let page = cut(listing.slice, rows, bounded);
        Ok(Ok(ProductPage {
            products: products(page.rows)?,
            has_next_page: page.has_next_page,
            has_previous_page: page.has_previous_page,
        }))
    }
}

/// A list request that makes sense.
struct Listing {
    search: Option<String>,
    slice: Slice,
    after: Option<ProductId>,
    before: Option<ProductId>,
}

impl Listing {
    fn read(list: &ListProducts) -> Result<Self, DomainError> {
        let fault = list.search.as_deref().and_then(|search| validate_text(search, SEARCH_MAX_CHARS, false));
        if let Some(message) = fault {
            return Err(DomainError::at(
                DomainErrorCode::InvalidInput,
                format!("search {message}"),
                ["search"],
            ));
        }
        let slice = list
            .page
            .slice()
            .map_err(|error| DomainError::new(DomainErrorCode::InvalidInput, error.to_string()))?;
        let cursor = |cursor: Option<&String>, field| match cursor.map(|text| ProductCursor::decode(text)) {
            None => Ok(None),
            Some(Ok(cursor)) => Ok(Some(cursor.product_id)),
            Some(Err(error)) => {
                Err(DomainError::at(DomainErrorCode::CursorInvalid, error.to_string(), [field]))
            }
        };
        Ok(Self {
            search: list.search.as_deref().map(|search| search.trim().to_lowercase()),
            slice,
            after: cursor(list.page.after.as_ref(), "after")?,
            before: cursor(list.page.before.as_ref(), "before")?,
        })
    }
}

/// Takes LIKE's wildcards, and what escapes them, by the letter.
fn escape(search: &str) -> String {
    let mut escaped = String::with_capacity(search.len());
    for c in search.chars() {
        if matches!(c, '%' | '_' | '\\') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

fn products(rows: Vec<product::Model>) -> Result<Vec<Product>, StoreError> {
    rows.into_iter().map(|row| Ok(read_product(row)?.to_product())).collect()
}
