//! Answering requests.

use async_trait::async_trait;
use bus::failure::Failure;
use bus::responder::{HandleRequest, Request, no_handler, respond};
use schema::domain_error::DomainResult;
use schema::limits::REQUEST_MAX_ITEMS;
use schema::pattern::{CUSTOMER_GET, CUSTOMER_PUT};
use serde_json::value::RawValue;

use crate::customers::Customers;

#[async_trait]
impl HandleRequest for Customers {
    async fn handle(&self, Request { packet, .. }: Request) -> Result<Box<RawValue>, Failure> {
        match packet.pattern.as_str() {
            CUSTOMER_GET => respond(&self.get(&packet.items(REQUEST_MAX_ITEMS)?).await?),
            CUSTOMER_PUT => {
                let answers = self.put(&packet.items(REQUEST_MAX_ITEMS)?).await?;
                respond(&answers.into_iter().map(DomainResult::from).collect::<Vec<_>>())
            }
            other => Err(no_handler(other)),
        }
    }
}
