//! Asking customer-service and inventory-service what placing orders takes.

use std::collections::{BTreeSet, HashMap};

use bus::deadline::Deadline;
use bus::rpc_client::{RequestError, RpcClient, request};
use schema::customer::Customer;
use schema::ids::CustomerId;
use schema::inventory_messages::{Reserve, Reserved};
use schema::limits::REQUEST_MAX_ITEMS;
use schema::order::Order;
use schema::order_messages::Item;
use schema::pattern::{CUSTOMER_GET, INVENTORY_RESERVE};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::{Finding, Stock};

/// A PENDING order to find out about, and the attempt to reserve its stock under.
pub(crate) struct Question<'a> {
    pub(crate) order: &'a Order,
    pub(crate) attempt: u32,
}

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) finding: Finding,
    /// Why the finding is not complete, where it isn't.
    pub(crate) hurdle: Option<Hurdle>,
}

/// What stands between an order and its stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hurdle {
    /// A service doesn't answer, or not in time. Stock may be held all the same.
    Away,
    /// Its stock is settled: the order's own row says more.
    Closed,
    /// Stock is held for another input under this attempt.
    Conflict,
}

impl Answer {
    fn complete(finding: Finding) -> Self {
        Self { finding, hurdle: None }
    }

    /// Whether stock is known to be held for it.
    pub(crate) fn holds_stock(&self) -> bool {
        matches!(self.finding, Finding::Customer { stock: Some(Stock::Held(_)), .. })
    }

    fn hindered(finding: Finding, hurdle: Hurdle) -> Self {
        Self { finding, hurdle: Some(hurdle) }
    }
}

/// Asks for all customers, then for the stock of those orders whose customer is known: one request each, within one
/// deadline. The answers are in the order of the questions.
pub(crate) async fn find_out(
    rpc: &dyn RpcClient,
    questions: &[Question<'_>],
    deadline: Deadline,
) -> Vec<Answer> {
    let customers = customers(rpc, questions, deadline).await;
    let addresses: Vec<Option<&str>> = questions
        .iter()
        .map(|question| match customers.get(&question.order.customer_id) {
            Some(Some(customer)) => Some(customer.shipping_address.as_str()),
            _ => None,
        })
        .collect();
    let asked: Vec<Reserve> = questions
        .iter()
        .zip(&addresses)
        .filter(|(_, address)| address.is_some())
        .map(|(q, _)| reserve(q))
        .collect();
    let mut reserved = ask_all(rpc, INVENTORY_RESERVE, &asked, deadline).await.into_iter();
    questions
        .iter()
        .zip(addresses)
        .map(|(question, address)| match (customers.get(&question.order.customer_id), address) {
            (Some(None), _) => Answer::complete(Finding::UnknownCustomer),
            (_, Some(address)) => with_stock(address.to_owned(), reserved.next().flatten()),
            _ => Answer::hindered(Finding::Nothing, Hurdle::Away),
        })
        .collect()
}

/// The customers that are known (or known not to exist); those that nothing is known of are left out.
async fn customers(
    rpc: &dyn RpcClient,
    questions: &[Question<'_>],
    deadline: Deadline,
) -> HashMap<CustomerId, Option<Customer>> {
    let distinct: BTreeSet<&CustomerId> =
        questions.iter().map(|question| &question.order.customer_id).collect();
    let ids: Vec<CustomerId> = distinct.into_iter().cloned().collect();
    let found: Vec<Option<Option<Customer>>> = ask_all(rpc, CUSTOMER_GET, &ids, deadline).await;
    ids.into_iter().zip(found).filter_map(|(id, customer)| Some((id, customer?))).collect()
}

fn reserve(question: &Question<'_>) -> Reserve {
    let item = |line: &schema::order::LineItem| Item {
        product_id: line.product_id.clone(),
        quantity: line.quantity,
    };
    Reserve {
        order_id: question.order.id,
        fingerprint: question.order.fingerprint.clone(),
        attempt: question.attempt,
        items: question.order.line_items.iter().map(item).collect(),
    }
}

fn with_stock(address: String, reserved: Option<Reserved>) -> Answer {
    let (stock, hurdle) = match reserved {
        Some(Reserved::Reserved { items }) => (Some(Stock::Held(items)), None),
        Some(Reserved::OutOfStock { shortfalls, items }) => (Some(Stock::Short { shortfalls, items }), None),
        Some(Reserved::UnknownProducts { product_ids }) => (Some(Stock::Unknown(product_ids)), None),
        Some(Reserved::Closed) => (None, Some(Hurdle::Closed)),
        Some(Reserved::Conflict) => (None, Some(Hurdle::Conflict)),
        None => (None, Some(Hurdle::Away)),
    };
    Answer { finding: Finding::Customer { address, stock }, hurdle }
}

/// One answer for each item, nothing where there is none. A fault that asking again would not help is blamed on
/// one item: each is then asked for alone, so that only the bad one waits.
async fn ask_all<Q, R>(rpc: &dyn RpcClient, pattern: &str, items: &[Q], deadline: Deadline) -> Vec<Option<R>>
where
    Q: Serialize + Sync,
    R: DeserializeOwned,
{
    let mut answers = Vec::with_capacity(items.len());
    for some in items.chunks(REQUEST_MAX_ITEMS) {
        match ask_some(rpc, pattern, some, deadline).await {
            Err(RequestError::Answered(failure)) if !failure.code.is_retryable() && some.len() > 1 => {
                for item in some {
                    let alone = ask_some(rpc, pattern, std::slice::from_ref(item), deadline).await;
                    answers.push(alone.ok().and_then(|mut answer| answer.pop()));
                }
            }
            Err(_) => answers.extend(some.iter().map(|_| None)),
            Ok(found) => answers.extend(found.into_iter().map(Some)),
        }
    }
    answers
}

async fn ask_some<Q, R>(
    rpc: &dyn RpcClient,
    pattern: &str,
    items: &[Q],
    deadline: Deadline,
) -> Result<Vec<R>, RequestError>
where
    Q: Serialize + Sync,
    R: DeserializeOwned,
{
    let unavailable = |reason: String| RequestError::Unavailable { pattern: pattern.to_owned(), reason };
    if deadline.has_passed() {
        return Err(unavailable("no time is left to ask".to_owned()));
    }
    let result: Result<Vec<R>, RequestError> = request(rpc, pattern, items, deadline).await;
    let result = match result {
        Ok(answers) if answers.len() != items.len() => {
            Err(unavailable(format!("{} answers to {} items", answers.len(), items.len())))
        }
        result => result,
    };
    if let Err(error) = &result {
        tracing::warn!(%error, items = items.len(), "orders wait for an answer");
    }
    result
}
