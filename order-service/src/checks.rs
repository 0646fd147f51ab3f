//! Checks PENDING orders with customer-service and inventory-service: does the customer exist, and is the stock reserved?

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bus::clock::Deadline;
use bus::rpc_client::{RequestError, RpcClient, request};
use schema::customer::Customer;
use schema::ids::{CustomerId, OrderId};
use schema::inventory_messages::{Reserve, Reserved};
use schema::limits::REQUEST_MAX_ITEMS;
use schema::order::{LineItem, Order};
use schema::order_messages::Item;
use schema::pattern::{CUSTOMER_GET, INVENTORY_RESERVE};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::{CheckedFacts, Stock};

/// A PENDING order to check, and the attempt to reserve its stock under.
pub(crate) struct Check<'a> {
    pub(crate) order: &'a Order,
    pub(crate) attempt: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CheckResult {
    pub(crate) facts: CheckedFacts,
    /// Why the facts are incomplete, if they are.
    pub(crate) blocker: Option<Blocker>,
}

/// What keeps an order from being decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blocker {
    /// A service does not answer in time. Stock may be held nevertheless.
    Unavailable,
    /// The order's stock is settled: its own row has changed.
    Closed,
    /// Stock is held for another input under this attempt.
    Conflict,
}

impl CheckResult {
    /// Whether stock is known to be held for the order.
    pub(crate) fn holds_stock(&self) -> bool {
        matches!(self.facts, CheckedFacts::Customer { stock: Some(Stock::Held(_)), .. })
    }
}

/// Customers that were found before. A customer is never deleted, so that an order of one of them does not wait for
/// customer-service before its stock is reserved. Bounded: which customers it has only matters for latency.
#[derive(Debug, Default)]
pub struct KnownCustomers(Mutex<HashSet<CustomerId>>);

impl KnownCustomers {
    const MAX: usize = 10_000;

    fn include_all(&self, checks: &[Check<'_>]) -> bool {
        let known = self.locked();
        checks.iter().all(|check| known.contains(&check.order.customer_id))
    }

    fn add(&self, found: &HashMap<CustomerId, Option<Customer>>) {
        let mut known = self.locked();
        for (id, _) in found.iter().filter(|(_, customer)| customer.is_some()) {
            if known.len() >= Self::MAX && !known.contains(id) {
                known.clear();
            }
            known.insert(id.clone());
        }
    }

    fn locked(&self) -> MutexGuard<'_, HashSet<CustomerId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Requests all customers, and reserves stock for the orders whose customer exists: one request each, within one deadline,
/// and at the same time if every customer is known to exist. The results are in the order of `checks`.
pub(crate) async fn run_checks(
    client: &dyn RpcClient,
    known_customers: &KnownCustomers,
    checks: &[Check<'_>],
    deadline: Deadline,
) -> Vec<CheckResult> {
    let reserve_all = async |checks: Vec<&Check<'_>>| {
        let reserves: Vec<Reserve> = checks.into_iter().map(reserve).collect();
        let reserved: Vec<Option<Reserved>> = call_all(client, INVENTORY_RESERVE, &reserves, deadline).await;
        let ids = reserves.into_iter().map(|reserve| reserve.order_id);
        ids.zip(reserved).collect::<HashMap<OrderId, Option<Reserved>>>()
    };
    let (customers, mut reserved) = if known_customers.include_all(checks) {
        tokio::join!(customers(client, checks, deadline), reserve_all(checks.iter().collect()))
    } else {
        let customers = customers(client, checks, deadline).await;
        let exists = |check: &&Check<'_>| matches!(customers.get(&check.order.customer_id), Some(Some(_)));
        let reserved = reserve_all(checks.iter().filter(exists).collect()).await;
        (customers, reserved)
    };
    known_customers.add(&customers);
    let result = |check: &Check<'_>| match customers.get(&check.order.customer_id) {
        Some(Some(customer)) => {
            let reserved = reserved.remove(&check.order.id).flatten();
            with_stock(customer.shipping_address.clone(), reserved)
        }
        Some(None) => CheckResult { facts: CheckedFacts::UnknownCustomer, blocker: None },
        None => CheckResult { facts: CheckedFacts::Nothing, blocker: Some(Blocker::Unavailable) },
    };
    checks.iter().map(result).collect()
}

/// Returns what customer-service knows of each customer; customers without an answer are left out.
async fn customers(
    client: &dyn RpcClient,
    checks: &[Check<'_>],
    deadline: Deadline,
) -> HashMap<CustomerId, Option<Customer>> {
    let distinct: BTreeSet<&CustomerId> = checks.iter().map(|check| &check.order.customer_id).collect();
    let ids: Vec<CustomerId> = distinct.into_iter().cloned().collect();
    let found: Vec<Option<Option<Customer>>> = call_all(client, CUSTOMER_GET, &ids, deadline).await;
    ids.into_iter().zip(found).filter_map(|(id, customer)| Some((id, customer?))).collect()
}

fn reserve(check: &Check<'_>) -> Reserve {
    let item = |line: &LineItem| Item { product_id: line.product_id.clone(), quantity: line.quantity };
    Reserve {
        order_id: check.order.id,
        fingerprint: check.order.fingerprint.clone(),
        attempt: check.attempt,
        items: check.order.line_items.iter().map(item).collect(),
    }
}

fn with_stock(address: String, reserved: Option<Reserved>) -> CheckResult {
    let (stock, blocker) = match reserved {
        Some(Reserved::Reserved { items }) => (Some(Stock::Held(items)), None),
        Some(Reserved::OutOfStock { shortfalls, items }) => (Some(Stock::Short { shortfalls, items }), None),
        Some(Reserved::UnknownProducts { product_ids }) => (Some(Stock::Unknown(product_ids)), None),
        Some(Reserved::Closed) => (None, Some(Blocker::Closed)),
        Some(Reserved::Conflict) => (None, Some(Blocker::Conflict)),
        None => (None, Some(Blocker::Unavailable)),
    };
    CheckResult { facts: CheckedFacts::Customer { address, stock }, blocker }
}

/// Returns one answer for each item, `None` if there is none. If a request fails in a way that a retry would not help,
/// one item may be the cause: each is then requested alone, so that only the bad one waits.
async fn call_all<Q: Serialize + Sync, R: DeserializeOwned>(
    client: &dyn RpcClient,
    pattern: &str,
    items: &[Q],
    deadline: Deadline,
) -> Vec<Option<R>> {
    let mut answers = Vec::with_capacity(items.len());
    for items in items.chunks(REQUEST_MAX_ITEMS) {
        match call_once(client, pattern, items, deadline).await {
            Err(RequestError::Answered(failure)) if !failure.code.is_retryable() && items.len() > 1 => {
                for item in items {
                    let alone = call_once(client, pattern, std::slice::from_ref(item), deadline).await;
                    answers.push(alone.ok().and_then(|mut answer| answer.pop()));
                }
            }
            Err(_) => answers.extend(items.iter().map(|_| None)),
            Ok(found) => answers.extend(found.into_iter().map(Some)),
        }
    }
    answers
}

async fn call_once<Q: Serialize + Sync, R: DeserializeOwned>(
    client: &dyn RpcClient,
    pattern: &str,
    items: &[Q],
    deadline: Deadline,
) -> Result<Vec<R>, RequestError> {
    let unavailable = |reason: String| RequestError::Unavailable { pattern: pattern.to_owned(), reason };
    if deadline.has_passed() {
        return Err(unavailable("the deadline has passed".to_owned()));
    }
    let mut result: Result<Vec<R>, RequestError> = request(client, pattern, items, deadline).await;
    if let Ok(answers) = &result
        && answers.len() != items.len()
    {
        result = Err(unavailable(format!("{} answers to {} items", answers.len(), items.len())));
    }
    if let Err(error) = &result {
        tracing::warn!(%error, items = items.len(), "orders stay PENDING without an answer");
    }
    result
}
