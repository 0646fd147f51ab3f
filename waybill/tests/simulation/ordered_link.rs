//! The link between two services: it keeps requests in order, but loses and duplicates them, and their answers.

use async_trait::async_trait;
use bus::clock::Deadline;
use bus::envelope::Envelope;
use bus::rpc_client::{RequestError, RpcClient};
use bus::rpc_server::{Request, RequestHandler, respond};
use inventory_service::Inventory;
use order_service::requests::OrderRequests;
use rand::RngExt as _;
use rand::rngs::StdRng;
use schema::customer::Customer;
use schema::ids::CustomerId;
use schema::pattern::Service;
use serde_json::value::RawValue;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

/// Customers that exist, and one more that doesn't.
pub(crate) const CUSTOMERS: [&str; 3] = ["CUST01", "CUST02", "CUST99"];

pub(crate) struct OrderedLink {
    pub(crate) rng: Arc<Mutex<StdRng>>,
    /// Whether requests and answers are neither lost nor duplicated.
    pub(crate) calm: AtomicBool,
    /// Whether inventory-service is unavailable.
    pub(crate) inventory_away: AtomicBool,
    pub(crate) inventory: Inventory,
    /// Weak, as they send requests over this link themselves: the end of a run has to close its databases.
    pub(crate) orders: OnceLock<Weak<OrderRequests>>,
}

impl OrderedLink {
    async fn handle(
        &self,
        pattern: &str,
        data: &RawValue,
        deadline: Deadline,
    ) -> Result<Box<RawValue>, RequestError> {
        let envelope = Envelope { pattern: pattern.to_owned(), data: data.to_owned(), id: None };
        let request = Request { envelope, deadline };
        let answer = match Service::from_pattern(pattern).unwrap() {
            Service::Order => {
                let orders = self.orders.get().and_then(Weak::upgrade).unwrap();
                orders.handle(request).await
            }
            Service::Inventory => self.inventory.handle(request).await,
            Service::Customer => {
                let ids: Vec<CustomerId> = request.envelope.data().unwrap();
                respond(&ids.into_iter().map(customer).collect::<Vec<_>>())
            }
        };
        answer.map_err(RequestError::Answered)
    }
}

#[async_trait]
impl RpcClient for OrderedLink {
    async fn call(
        &self,
        pattern: &str,
        data: Box<RawValue>,
        deadline: Deadline,
    ) -> Result<Box<RawValue>, RequestError> {
        let unavailable =
            || RequestError::Unavailable { pattern: pattern.to_owned(), reason: "away".to_owned() };
        let lost = || RequestError::DeadlineExceeded { pattern: pattern.to_owned() };
        if self.calm.load(Ordering::SeqCst) {
            return self.handle(pattern, &data, deadline).await;
        }
        if Service::from_pattern(pattern) == Some(Service::Inventory)
            && self.inventory_away.load(Ordering::SeqCst)
        {
            return Err(unavailable());
        }
        let drawn = self.rng.lock().unwrap().random_range(0..100);
        match drawn {
            0..4 => Err(unavailable()),
            4..8 => Err(lost()),
            8..16 => {
                let _ = self.handle(pattern, &data, deadline).await;
                Err(lost())
            }
            16..22 => {
                let _ = self.handle(pattern, &data, deadline).await;
                self.handle(pattern, &data, deadline).await
            }
            _ => self.handle(pattern, &data, deadline).await,
        }
    }
}

fn customer(id: CustomerId) -> Option<Customer> {
    (id.as_str() != CUSTOMERS[2]).then(|| Customer {
        name: format!("Customer {id}"),
        email: "customer@example.com".to_owned(),
        phone: None,
        shipping_address: "1 Harbour Street, Portland".to_owned(),
        id,
    })
}
