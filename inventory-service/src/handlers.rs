//! Handles the messages of the bus: requests, and order events.

use async_trait::async_trait;
use bus::consumer::{Disposition, Job, MessageHandler};
use bus::events::read_event;
use bus::failure::{Failure, FailureCode};
use bus::rpc_server::{Request, RequestHandler, no_handler, respond};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use schema::domain_error::DomainResult;
use schema::ids::ProductId;
use schema::inventory_messages::{ListProducts, Reserve};
use schema::limits::{AUDIT_PAGES_MAX, ORDER_MAX_ITEMS, PRODUCT_LISTS_MAX, QUANTITY_MAX, REQUEST_MAX_ITEMS};
use schema::order_messages::AuditPage;
use schema::pattern;
use serde_json::value::RawValue;
use store::StoreError;

use crate::inventory::Inventory;
use crate::stock::ReportedState;

#[async_trait]
impl RequestHandler for Inventory {
    async fn handle(&self, request: Request) -> Result<Box<RawValue>, Failure> {
        let envelope = &request.envelope;
        match envelope.pattern.as_str() {
            pattern::INVENTORY_GET => respond(&self.get(&envelope.items(REQUEST_MAX_ITEMS)?).await?),
            pattern::INVENTORY_LIST => {
                let lists: Vec<ListProducts> = envelope.items(PRODUCT_LISTS_MAX)?;
                let pages = stream::iter(&lists).then(|list| self.list(list)).map_ok(DomainResult::from);
                respond(&pages.try_collect::<Vec<_>>().await?)
            }
            pattern::INVENTORY_RESERVE => {
                let reserves: Vec<Reserve> = envelope.items(REQUEST_MAX_ITEMS)?;
                reserves.iter().try_for_each(check_reserve)?;
                respond(&self.reserve(&reserves).await?)
            }
            pattern::INVENTORY_ADJUST => {
                let results = self.adjust(&envelope.items(REQUEST_MAX_ITEMS)?).await?;
                respond(&results.into_iter().map(DomainResult::from).collect::<Vec<_>>())
            }
            pattern::INVENTORY_PUT => {
                let results = self.put(&envelope.items(REQUEST_MAX_ITEMS)?).await?;
                respond(&results.into_iter().map(DomainResult::from).collect::<Vec<_>>())
            }
            pattern::INVENTORY_WITHDRAW => {
                let results = self.withdraw(&envelope.items(REQUEST_MAX_ITEMS)?).await?;
                respond(&results.into_iter().map(DomainResult::from).collect::<Vec<_>>())
            }
            pattern::INVENTORY_LEVELS => respond(&self.levels(&envelope.items(REQUEST_MAX_ITEMS)?).await?),
            pattern::INVENTORY_AUDIT => {
                let audits: Vec<AuditPage> = envelope.items(AUDIT_PAGES_MAX)?;
                let audited = stream::iter(&audits).then(|audit| self.audit(audit));
                respond(&audited.try_collect::<Vec<_>>().await?)
            }
            other => Err(no_handler(other)),
        }
    }
}

/// Checks what order-service has checked before it asks: here it keeps sums within bounds.
fn check_reserve(reserve: &Reserve) -> Result<(), Failure> {
    let mut products: Vec<&ProductId> = reserve.items.iter().map(|item| &item.product_id).collect();
    products.sort();
    products.dedup();
    let quantities = reserve.items.iter().all(|item| (1..=QUANTITY_MAX).contains(&item.quantity));
    let valid = quantities
        && products.len() == reserve.items.len()
        && (1..=ORDER_MAX_ITEMS).contains(&reserve.items.len());
    if valid {
        return Ok(());
    }
    let message = format!("the items of order {} are not valid", reserve.order_id);
    Err(Failure::new(FailureCode::BadRequest, message))
}

#[async_trait]
impl MessageHandler for Inventory {
    /// Applies a batch of events in one transaction. If that fails for the data of one, they are applied one by one, so
    /// that only the bad one is retried and becomes a dead letter in the end.
    async fn handle(&self, batch: &[Job]) -> Vec<Disposition> {
        let state = |job: &Job| read_event(&job.message).map(|event| ReportedState::from(&event));
        let read: Vec<Result<ReportedState, Failure>> = batch.iter().map(state).collect();
        let states: Vec<ReportedState> =
            read.iter().filter_map(|state| state.as_ref().ok().cloned()).collect();
        let mut dispositions = self.apply(&states).await.into_iter();
        let disposition = |state: Result<ReportedState, Failure>| match state {
            Err(failure) => Some(Disposition::Dead(failure)),
            Ok(_) => dispositions.next(),
        };
        read.into_iter().filter_map(disposition).collect()
    }
}

impl Inventory {
    async fn apply(&self, states: &[ReportedState]) -> Vec<Disposition> {
        match self.reconcile(states).await {
            Ok(_) => states.iter().map(|_| Disposition::Done(None)).collect(),
            Err(error) if error.is_transient() || states.len() == 1 => {
                states.iter().map(|_| failed(&error)).collect()
            }
            Err(_) => {
                let mut dispositions = Vec::with_capacity(states.len());
                for state in states {
                    let applied = self.reconcile(std::slice::from_ref(state)).await;
                    dispositions
                        .push(applied.map_or_else(|error| failed(&error), |_| Disposition::Done(None)));
                }
                dispositions
            }
        }
    }
}

fn failed(error: &StoreError) -> Disposition {
    let failure = error.clone().into();
    if error.is_transient() { Disposition::RetryInPlace(failure) } else { Disposition::Retry(failure) }
}
