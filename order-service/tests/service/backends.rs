//! customer-service and inventory-service in memory, by the rules that they promise.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use bus::clock::Deadline;
use bus::failure::{Failure, FailureCode};
use bus::rpc_client::{RequestError, RpcClient};
use schema::customer::Customer;
use schema::ids::{CustomerId, OrderId, ProductId};
use schema::inventory_messages::{Reserve, Reserved, ReservedItem};
use schema::money::{Currency, Money};
use schema::order::Shortfall;
use schema::pattern::{CUSTOMER_GET, INVENTORY_RESERVE};
use serde_json::value::{RawValue, to_raw_value};

/// A product with a price that no order of two can be totalled with.
pub(crate) const PRICELESS: &str = "PRICELESS";
/// A product whose name PostgreSQL can't store.
pub(crate) const UNSTORABLE: &str = "UNSTORABLE";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mood {
    #[default]
    Answers,
    /// Fails at once.
    Away,
    /// Handles the request, and never answers.
    Silent,
}

#[derive(Debug, Clone)]
pub(crate) struct Hold {
    pub(crate) fingerprint: String,
    pub(crate) attempt: u32,
    pub(crate) items: Vec<(ProductId, u32)>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) customers: Mood,
    pub(crate) inventory: Mood,
    pub(crate) stock: BTreeMap<ProductId, u32>,
    pub(crate) holds: HashMap<OrderId, Hold>,
    /// Attempts up to this one are answered `closed`.
    pub(crate) closed: HashMap<OrderId, u32>,
    /// A product that makes the whole request fail for good.
    pub(crate) poison: Option<ProductId>,
    /// Every request, in order: its pattern and how many items it had.
    pub(crate) asked: Vec<(String, usize)>,
}

#[derive(Default)]
pub(crate) struct Backends(Mutex<State>);

impl Backends {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn asked(&self, pattern: &str) -> Vec<usize> {
        self.state().asked.iter().filter(|(asked, _)| asked == pattern).map(|(_, items)| *items).collect()
    }

    fn answer(&self, pattern: &str, data: &RawValue) -> (Mood, Result<Box<RawValue>, Failure>) {
        let mut state = self.state();
        match pattern {
            CUSTOMER_GET => {
                let ids: Vec<CustomerId> = serde_json::from_str(data.get()).unwrap();
                state.asked.push((pattern.to_owned(), ids.len()));
                let customers: Vec<Option<Customer>> = ids.into_iter().map(customer).collect();
                (state.customers, Ok(to_raw_value(&customers).unwrap()))
            }
            INVENTORY_RESERVE => {
                let reserves: Vec<Reserve> = serde_json::from_str(data.get()).unwrap();
                state.asked.push((pattern.to_owned(), reserves.len()));
                if state.inventory == Mood::Away {
                    return (Mood::Away, Err(Failure::new(FailureCode::Unavailable, "away")));
                }
                let poisoned = |reserve: &Reserve| {
                    reserve.items.iter().any(|item| Some(&item.product_id) == state.poison.as_ref())
                };
                if reserves.iter().any(poisoned) {
                    return (state.inventory, Err(Failure::new(FailureCode::Internal, "poisoned")));
                }
                let answers: Vec<Reserved> = reserves.iter().map(|one| state.reserve(one)).collect();
                (state.inventory, Ok(to_raw_value(&answers).unwrap()))
            }
            other => panic!("no service in the test answers {other}"),
        }
    }
}

#[async_trait]
impl RpcClient for Backends {
    async fn call(
        &self,
        pattern: &str,
        data: Box<RawValue>,
        deadline: Deadline,
    ) -> Result<Box<RawValue>, RequestError> {
        let (mood, answer) = self.answer(pattern, &data);
        match mood {
            Mood::Answers => answer.map_err(RequestError::Answered),
            Mood::Away => {
                Err(RequestError::Unavailable { pattern: pattern.to_owned(), reason: "away".to_owned() })
            }
            Mood::Silent => {
                deadline.passed().await;
                Err(RequestError::DeadlineExceeded { pattern: pattern.to_owned() })
            }
        }
    }
}

impl State {
    fn reserve(&mut self, reserve: &Reserve) -> Reserved {
        if self.closed.get(&reserve.order_id).is_some_and(|&closed| reserve.attempt <= closed) {
            return Reserved::Closed;
        }
        match self.holds.get(&reserve.order_id) {
            Some(hold) if reserve.attempt < hold.attempt => return Reserved::Closed,
            Some(hold) if reserve.attempt == hold.attempt && hold.fingerprint != reserve.fingerprint => {
                return Reserved::Conflict;
            }
            Some(hold) if reserve.attempt == hold.attempt => {
                return Reserved::Reserved { items: priced(reserve) };
            }
            _ => {}
        }
        self.release(reserve.order_id);
        let unknown: Vec<ProductId> = reserve
            .items
            .iter()
            .map(|item| item.product_id.clone())
            .filter(|product_id| !self.stock.contains_key(product_id))
            .collect();
        if !unknown.is_empty() {
            return Reserved::UnknownProducts { product_ids: unknown };
        }
        let shortfalls: Vec<Shortfall> = reserve
            .items
            .iter()
            .map(|item| Shortfall {
                product_id: item.product_id.clone(),
                requested: item.quantity,
                available: self.stock[&item.product_id],
            })
            .filter(|shortfall| shortfall.available < shortfall.requested)
            .collect();
        if !shortfalls.is_empty() {
            return Reserved::OutOfStock { shortfalls, items: priced(reserve) };
        }
        for item in &reserve.items {
            *self.stock.get_mut(&item.product_id).unwrap() -= item.quantity;
        }
        let items = reserve.items.iter().map(|item| (item.product_id.clone(), item.quantity)).collect();
        let hold = Hold { fingerprint: reserve.fingerprint.clone(), attempt: reserve.attempt, items };
        self.holds.insert(reserve.order_id, hold);
        Reserved::Reserved { items: priced(reserve) }
    }

    pub(crate) fn release(&mut self, order_id: OrderId) {
        for (product_id, quantity) in self.holds.remove(&order_id).map(|hold| hold.items).unwrap_or_default()
        {
            *self.stock.get_mut(&product_id).unwrap() += quantity;
        }
    }
}

/// Every id that begins with CUST is a customer's.
fn customer(id: CustomerId) -> Option<Customer> {
    id.as_str().starts_with("CUST").then(|| Customer {
        name: format!("Customer {id}"),
        email: "customer@example.org".to_owned(),
        phone: None,
        shipping_address: format!("{id}'s own address"),
        id,
    })
}

fn priced(reserve: &Reserve) -> Vec<ReservedItem> {
    let item = |item: &schema::order_messages::Item| ReservedItem {
        product_id: item.product_id.clone(),
        quantity: item.quantity,
        name: match item.product_id.as_str() {
            UNSTORABLE => "a name that no text column takes: \0".to_owned(),
            id => format!("Thing {id}"),
        },
        unit_price: Money {
            amount_minor: if item.product_id.as_str() == PRICELESS { i64::MAX } else { 1_000 },
            currency: Currency::USD,
        },
    };
    reserve.items.iter().map(item).collect()
}
