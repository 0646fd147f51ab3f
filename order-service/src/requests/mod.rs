//! The requests to order-service. Each takes a list, and answers with a list in the same order.

mod audit;
mod change;
mod read;
mod replay;
mod settle;

use async_trait::async_trait;
use bus::failure::Failure;
use bus::rpc_server::{Request, RequestHandler, no_handler, respond};
use schema::domain_error::DomainError;
use schema::limits::{AUDIT_PAGES_MAX, REPLAYS_MAX, REQUEST_MAX_ITEMS};
use schema::pattern::{
    ORDER_AUDIT, ORDER_CANCEL, ORDER_DELETE, ORDER_GET, ORDER_HISTORY, ORDER_LIST, ORDER_REPLAY,
    ORDER_SETTLE, ORDER_UPDATE,
};
use serde_json::value::RawValue;
use store::StoreError;

use crate::context::Context;
use change::Kind;

/// What a request has as its result, or the refusal that answers it.
type Refusable<T> = Result<Result<T, DomainError>, StoreError>;

/// Handles the requests. An order outside of a request's scope is answered like one that does not exist.
pub struct OrderRequests(pub Context);

#[async_trait]
impl RequestHandler for OrderRequests {
    async fn handle(&self, Request { envelope, .. }: Request) -> Result<Box<RawValue>, Failure> {
        let context = &self.0;
        let changes = || envelope.items(REQUEST_MAX_ITEMS);
        match envelope.pattern.as_str() {
            ORDER_GET => respond(&read::get(context, envelope.items(REQUEST_MAX_ITEMS)?).await?),
            ORDER_LIST => respond(&read::list(context, envelope.items(REQUEST_MAX_ITEMS)?).await?),
            ORDER_UPDATE => respond(&change::change(context, Kind::Update, changes()?).await?),
            ORDER_CANCEL => respond(&change::change(context, Kind::Cancel, changes()?).await?),
            ORDER_DELETE => respond(&change::change(context, Kind::Delete, changes()?).await?),
            ORDER_HISTORY => respond(&read::history(context, envelope.items(REQUEST_MAX_ITEMS)?).await?),
            ORDER_REPLAY => respond(&replay::replay(context, envelope.items(REPLAYS_MAX)?).await?),
            ORDER_SETTLE => respond(&settle::settle(context, envelope.items(REQUEST_MAX_ITEMS)?).await?),
            ORDER_AUDIT => respond(&audit::audit(context, envelope.items(AUDIT_PAGES_MAX)?).await?),
            other => Err(no_handler(other)),
        }
    }
}
