//! What inventory-service does with its database, one plain function a message.

use std::collections::BTreeSet;

use schema::domain_error::DomainError;
use schema::ids::OrderId;
use schema::inventory_messages::{Adjust, PutProduct, Reserve, Reserved};
use schema::money::Currency;
use schema::order_messages::{Settle, Settled};
use schema::product::Product;
use store::failpoint::{Failpoint, Failpoints};
use store::{Database, StoreError};

use crate::stock::{Book, Followed, Heard, HoldTime};
use crate::storage::{Scope, transact};

/// Items of the reservations that one transaction decides on, at the most: it bounds how long product rows stay
/// locked, and how many values a statement takes.
const ITEMS_PER_TRANSACTION: usize = 2_000;

/// The stock of one shop, in its database. Cloning shares it.
#[derive(Clone)]
pub struct Inventory {
    /// Where it is kept.
    pub database: Database,
    /// What prices are in.
    pub currency: Currency,
    /// How long a hold may be unheard of before it is asked about.
    pub hold_time: HoldTime,
    /// Where a test may stop it.
    pub failpoints: Failpoints,
}

impl Inventory {
    /// Holds stock for orders, one after the other, each wholly or not at all.
    ///
    /// Idempotent: what was held under the same attempt is answered again. Orders with many items are spread over
    /// several transactions, so that an error may come after some orders hold their stock.
    pub async fn reserve(&self, requests: &[Reserve]) -> Result<Vec<Reserved>, StoreError> {
        let mut answers = Vec::with_capacity(requests.len());
        for part in parts(requests) {
            let scope = Scope {
                orders: part.iter().map(|request| request.order_id).collect(),
                products: part
                    .iter()
                    .flat_map(|request| request.items.iter().map(|item| item.product_id.clone()))
                    .collect(),
                ..Scope::default()
            };
            let decide =
                |book: &mut Book| -> Vec<_> { part.iter().map(|request| book.reserve(request)).collect() };
            answers.extend(transact(self, &scope, decide).await?);
        }
        count(&answers);
        self.failpoints.hit(Failpoint::AfterHoldBeforeReply).await;
        Ok(answers)
    }

    /// Brings orders' stock to what their newest states call for.
    pub async fn follow(&self, news: &[Heard]) -> Result<Vec<Followed>, StoreError> {
        let wanted = news.iter().filter_map(|heard| heard.wanted.as_ref());
        let scope = Scope {
            orders: news.iter().map(|heard| heard.order_id).collect(),
            products: wanted
                .flat_map(|wanted| wanted.items.iter().map(|item| item.product_id.clone()))
                .collect(),
            ..Scope::default()
        };
        let decide = |book: &mut Book| -> Vec<_> { news.iter().map(|heard| book.follow(heard)).collect() };
        let followed = transact(self, &scope, decide).await?;
        for (heard, followed) in news.iter().zip(&followed) {
            report(heard.order_id, heard.version, *followed);
        }
        self.failpoints.hit(Failpoint::AfterFollowBeforeAck).await;
        Ok(followed)
    }

    /// Applies order-service's answers to questions about holds.
    pub async fn settle(&self, answers: &[(Settle, Settled)]) -> Result<Vec<Followed>, StoreError> {
        let scope = Scope {
            orders: answers.iter().map(|(asked, _)| asked.order_id).collect::<BTreeSet<OrderId>>(),
            ..Scope::default()
        };
        let decide = |book: &mut Book| -> Vec<_> {
            answers.iter().map(|(asked, settled)| apply(book, asked, settled)).collect()
        };
        let followed = transact(self, &scope, decide).await?;
        for ((asked, settled), followed) in answers.iter().zip(&followed) {
            let version = if let Settled::Order { version, .. } = settled { *version } else { 0 };
            report(asked.order_id, version, *followed);
        }
        Ok(followed)
    }

    /// Brings stock in or writes it off, once per adjustment id.
    pub async fn adjust(&self, adjusts: &[Adjust]) -> Result<Vec<Result<Product, DomainError>>, StoreError> {
        let scope = Scope {
            products: adjusts.iter().map(|adjust| adjust.product_id.clone()).collect(),
            adjustments: adjusts.iter().map(|adjust| adjust.adjustment_id).collect(),
            ..Scope::default()
        };
        let decide =
            |book: &mut Book| -> Vec<_> { adjusts.iter().map(|adjust| book.adjust(adjust)).collect() };
        transact(self, &scope, decide).await
    }

    /// Puts products into the catalogue, or changes them.
    pub async fn put(&self, puts: &[PutProduct]) -> Result<Vec<Result<Product, DomainError>>, StoreError> {
        let scope = Scope { products: puts.iter().map(|put| put.id.clone()).collect(), ..Scope::default() };
        let decide =
            |book: &mut Book| -> Vec<_> { puts.iter().map(|put| book.put(put, self.currency)).collect() };
        transact(self, &scope, decide).await
    }
}

fn apply(book: &mut Book, asked: &Settle, settled: &Settled) -> Followed {
    match *settled {
        Settled::Void => book.void(asked.order_id, asked.attempt),
        Settled::Order { status, version, deleted } => {
            book.follow(&Heard { order_id: asked.order_id, status, version, deleted, wanted: None })
        }
    }
}

/// Runs of requests that together have a bounded number of items.
fn parts(requests: &[Reserve]) -> Vec<&[Reserve]> {
    let mut parts = Vec::new();
    let (mut start, mut items) = (0, 0);
    for (index, request) in requests.iter().enumerate() {
        if index > start && items + request.items.len() > ITEMS_PER_TRANSACTION {
            parts.push(&requests[start..index]);
            (start, items) = (index, 0);
        }
        items += request.items.len();
    }
    if start < requests.len() {
        parts.push(&requests[start..]);
    }
    parts
}

fn count(answers: &[Reserved]) {
    for answer in answers {
        let outcome = match answer {
            Reserved::Reserved { .. } => "reserved",
            Reserved::OutOfStock { .. } => "out_of_stock",
            Reserved::UnknownProducts { .. } => "unknown_products",
            Reserved::Closed => "closed",
            Reserved::Conflict => "conflict",
        };
        metrics::counter!("waybill_reservations_total", "outcome" => outcome).increment(1);
    }
}

fn report(order_id: OrderId, version: u32, followed: Followed) {
    match followed {
        Followed::Stale | Followed::Done => {}
        Followed::Mended => {
            tracing::error!(%order_id, version, "an order's stock was not held, and has been taken now");
            metrics::counter!("waybill_stock_mended_total").increment(1);
        }
        Followed::Amiss(reason) => {
            tracing::error!(%order_id, version, reason, "an order's stock is not as its state calls for");
            metrics::counter!("waybill_stock_inconsistent_total").increment(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::order_messages::Item;

    fn request(items: usize) -> Reserve {
        let item = |n| Item { product_id: format!("PROD{n}").parse().unwrap(), quantity: 1 };
        Reserve {
            order_id: OrderId(uuid::Uuid::now_v7()),
            fingerprint: String::new(),
            attempt: 1,
            items: (0..items).map(item).collect(),
        }
    }

    #[test]
    fn a_transaction_has_a_bounded_number_of_items_and_no_order_is_split() {
        let requests: Vec<Reserve> = std::iter::repeat_with(|| request(100)).take(45).collect();
        let sizes: Vec<usize> = parts(&requests).iter().map(|part| part.len()).collect();
        assert_eq!(sizes, [20, 20, 5]);
        assert!(parts(&[]).is_empty());
        assert_eq!(parts(&[request(3_000), request(1)]).len(), 2);
    }
}
