//! The requests to order-service: each takes a list and answers a list in the same order.

mod audit;
mod change;
mod get;
mod history;
mod list;
mod replay;
mod settle;

use async_trait::async_trait;
use bus::failure::{Failure, FailureCode};
use bus::packet::Packet;
use bus::responder::{HandleRequest, Request, no_handler, respond};
use schema::limits::REQUEST_MAX_ITEMS;
use schema::pattern::{
    ORDER_AUDIT, ORDER_CANCEL, ORDER_DELETE, ORDER_GET, ORDER_HISTORY, ORDER_LIST, ORDER_REPLAY,
    ORDER_SETTLE, ORDER_UPDATE,
};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::context::{Context, failure};
use change::Kind;

/// Answers the requests. Nothing beyond an asker's reach is told, not even that it exists.
pub struct OrderRequests {
    context: Context,
}

impl OrderRequests {
    /// With what it takes.
    pub fn new(context: Context) -> Self {
        Self { context }
    }
}

#[async_trait]
impl HandleRequest for OrderRequests {
    async fn handle(&self, Request { packet, .. }: Request) -> Result<Box<RawValue>, Failure> {
        let context = &self.context;
        let packet = &packet;
        match packet.pattern.as_str() {
            ORDER_GET => respond(&get::get(context, items(packet)?).await.map_err(failure)?),
            ORDER_LIST => respond(&list::list(context, items(packet)?).await.map_err(failure)?),
            ORDER_UPDATE => {
                respond(&change::change(context, Kind::Update, items(packet)?).await.map_err(failure)?)
            }
            ORDER_CANCEL => {
                respond(&change::change(context, Kind::Cancel, items(packet)?).await.map_err(failure)?)
            }
            ORDER_DELETE => {
                respond(&change::change(context, Kind::Delete, items(packet)?).await.map_err(failure)?)
            }
            ORDER_HISTORY => respond(&history::history(context, items(packet)?).await.map_err(failure)?),
            ORDER_REPLAY => respond(&replay::replay(context, items(packet)?).await.map_err(failure)?),
            ORDER_SETTLE => respond(&settle::settle(context, items(packet)?).await.map_err(failure)?),
            ORDER_AUDIT => respond(&audit::audit(context, items(packet)?).await.map_err(failure)?),
            other => Err(no_handler(other)),
        }
    }
}

fn items<T: DeserializeOwned>(packet: &Packet) -> Result<Vec<T>, Failure> {
    let items: Vec<T> = packet.data()?;
    if items.len() > REQUEST_MAX_ITEMS {
        let message = format!("{} takes at most {REQUEST_MAX_ITEMS} items", packet.pattern);
        return Err(Failure::new(FailureCode::BadRequest, message));
    }
    Ok(items)
}
