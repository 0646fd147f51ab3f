//! Answering requests.

use async_trait::async_trait;
use bus::failure::Failure;
use bus::rpc_server::{Request, RequestHandler, no_handler, respond};
use schema::domain_error::DomainResult;
use schema::limits::REQUEST_MAX_ITEMS;
use schema::pattern::{CUSTOMER_GET, CUSTOMER_PUT};
use serde_json::value::RawValue;

use crate::customers::Customers;

#[async_trait]
impl RequestHandler for Customers {
    async fn handle(&self, Request { envelope, .. }: Request) -> Result<Box<RawValue>, Failure> {
        match envelope.pattern.as_str() {
            CUSTOMER_GET => respond(&self.get(&envelope.items(REQUEST_MAX_ITEMS)?).await?),
            CUSTOMER_PUT => {
                let answers = self.put(&envelope.items(REQUEST_MAX_ITEMS)?).await?;
                respond(&answers.into_iter().map(DomainResult::from).collect::<Vec<_>>())
            }
            other => Err(no_handler(other)),
        }
    }
}
