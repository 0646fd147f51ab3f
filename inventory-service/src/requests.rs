//! Answering requests.

use async_trait::async_trait;
use bus::failure::{Failure, FailureCode};
use bus::rpc_server::{Request, RequestHandler, no_handler, respond};
use schema::domain_error::{DomainError, DomainResult};
use schema::ids::ProductId;
use schema::inventory_messages::{Adjust, ListProducts, PutProduct, Reserve, StockAudit};
use schema::limits::{ORDER_MAX_ITEMS, QUANTITY_MAX, REQUEST_MAX_ITEMS};
use schema::pattern;
use serde_json::value::RawValue;

use crate::inventory::Inventory;

/// Pages of one list or audit request.
const MAX_PAGES: usize = 10;

#[async_trait]
impl RequestHandler for Inventory {
    async fn handle(&self, request: Request) -> Result<Box<RawValue>, Failure> {
        match request.envelope.pattern.as_str() {
            pattern::INVENTORY_GET => {
                let ids: Vec<ProductId> = request.envelope.items(REQUEST_MAX_ITEMS)?;
                respond(&self.get(&ids).await?)
            }
            pattern::INVENTORY_LIST => {
                let lists: Vec<ListProducts> = request.envelope.items(MAX_PAGES)?;
                let mut pages = Vec::with_capacity(lists.len());
                for list in &lists {
                    pages.push(DomainResult::from(self.list(list).await?));
                }
                respond(&pages)
            }
            pattern::INVENTORY_RESERVE => {
                let reserves: Vec<Reserve> = request.envelope.items(REQUEST_MAX_ITEMS)?;
                reserves.iter().try_for_each(check_reserve)?;
                respond(&self.reserve(&reserves).await?)
            }
            pattern::INVENTORY_ADJUST => {
                let adjusts: Vec<Adjust> = request.envelope.items(REQUEST_MAX_ITEMS)?;
                respond(&outcomes(self.adjust(&adjusts).await?))
            }
            pattern::INVENTORY_PUT => {
                let puts: Vec<PutProduct> = request.envelope.items(REQUEST_MAX_ITEMS)?;
                respond(&outcomes(self.put(&puts).await?))
            }
            pattern::INVENTORY_AUDIT => {
                let audits: Vec<StockAudit> = request.envelope.items(MAX_PAGES)?;
                let mut audited = Vec::with_capacity(audits.len());
                for audit in &audits {
                    audited.push(self.audit(audit).await?);
                }
                respond(&audited)
            }
            other => Err(no_handler(other)),
        }
    }
}

fn outcomes<T>(results: Vec<Result<T, DomainError>>) -> Vec<DomainResult<T>> {
    results.into_iter().map(DomainResult::from).collect()
}

/// Order-service has checked this before it asks; here it keeps sums within bounds.
fn check_reserve(reserve: &Reserve) -> Result<(), Failure> {
    let mut products: Vec<&ProductId> = reserve.items.iter().map(|item| &item.product_id).collect();
    products.sort();
    products.dedup();
    let quantities = reserve.items.iter().all(|item| (1..=QUANTITY_MAX).contains(&item.quantity));
    let sound = quantities
        && products.len() == reserve.items.len()
        && (1..=ORDER_MAX_ITEMS).contains(&reserve.items.len());
    if sound {
        return Ok(());
    }
    let message = format!("order {} asks for no sound list of items", reserve.order_id);
    Err(Failure::new(FailureCode::BadRequest, message))
}
