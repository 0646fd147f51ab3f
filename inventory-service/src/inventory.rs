//! The operations of inventory-service on its database, one function for each kind of message.

use schema::domain_error::DomainError;
use schema::ids::{OrderId, ProductId};
use schema::inventory_messages::{Adjust, Adjusted, PutProduct, Reserve, Reserved};
use schema::money::Currency;
use schema::order_messages::{Settle, Settled};
use schema::product::Product;
use store::failpoint::{Failpoint, Failpoints};
use store::{Database, StoreError, retrying};

use crate::stock::{HoldTime, Reconciled, ReportedState, UnitOfWork};
use crate::unit_of_work::{LockSet, load_locked, save};

/// Items of the reservations that one transaction decides: bounds how long product rows stay locked, and how many values
/// a statement takes.
const ITEMS_PER_TRANSACTION: usize = 2_000;

/// Products and their stock, in the database. Cloning shares it.
#[derive(Clone)]
pub struct Inventory {
    pub database: Database,
    pub currency: Currency,
    pub hold_time: HoldTime,
    pub failpoints: Failpoints,
}

impl Inventory {
    /// Holds stock for orders, one after the other, for each all of its items or none.
    ///
    /// Idempotent: what was held under the same attempt is answered again. Large batches take several transactions, so
    /// that some orders may hold their stock when an error is returned.
    pub async fn reserve(&self, requests: &[Reserve]) -> Result<Vec<Reserved>, StoreError> {
        let mut answers = Vec::with_capacity(requests.len());
        for part in parts(requests) {
            let locks = LockSet {
                orders: part.iter().map(|request| request.order_id).collect(),
                products: part
                    .iter()
                    .flat_map(|request| request.items.iter().map(|item| item.product_id.clone()))
                    .collect(),
                ..LockSet::default()
            };
            let decide = |work: &mut UnitOfWork| -> Vec<_> {
                part.iter().map(|request| work.reserve(request)).collect()
            };
            #[cfg(feature = "fault-injection")]
            let decide = crate::fault_injection::stock_guard(decide);
            answers.extend(self.transact(&locks, decide).await?);
        }
        count(&answers);
        self.failpoints.hit(Failpoint::AfterHoldBeforeReply).await;
        Ok(answers)
    }

    /// Brings orders' stock to what their newest states require.
    pub async fn reconcile(&self, states: &[ReportedState]) -> Result<Vec<Reconciled>, StoreError> {
        let reconciled = match self.reconcile_held(states).await? {
            Some(reconciled) => reconciled,
            None => self.reconcile_stock(states).await?,
        };
        for (state, reconciled) in states.iter().zip(&reconciled) {
            report(state.order_id, state.version, *reconciled);
        }
        self.failpoints.hit(Failpoint::AfterFollowBeforeAck).await;
        Ok(reconciled)
    }

    /// Reconciles orders whose stock is held as it should be, without locking the products: most orders that are reported
    /// have just been placed, and others wait for the same products. Nothing if some stock may have to change.
    async fn reconcile_held(&self, states: &[ReportedState]) -> Result<Option<Vec<Reconciled>>, StoreError> {
        if !states.iter().all(ReportedState::may_keep_stock) {
            return Ok(None);
        }
        let orders = states.iter().map(|state| state.order_id).collect();
        let locks = LockSet { orders, without_products: true, ..LockSet::default() };
        let decide = |work: &mut UnitOfWork| {
            let keep_stock = states.iter().all(|state| work.keeps_stock(state));
            keep_stock.then(|| states.iter().map(|state| work.reconcile(state)).collect())
        };
        self.transact(&locks, decide).await
    }

    async fn reconcile_stock(&self, states: &[ReportedState]) -> Result<Vec<Reconciled>, StoreError> {
        let desired = states.iter().filter_map(|state| state.desired.as_ref());
        let locks = LockSet {
            orders: states.iter().map(|state| state.order_id).collect(),
            products: desired
                .flat_map(|desired| desired.items.iter().map(|item| item.product_id.clone()))
                .collect(),
            ..LockSet::default()
        };
        self.decide_each(&locks, states, UnitOfWork::reconcile).await
    }

    /// Applies order-service's answers about holds.
    pub async fn settle(&self, answers: &[(Settle, Settled)]) -> Result<Vec<Reconciled>, StoreError> {
        let orders = answers.iter().map(|(asked, _)| asked.order_id).collect();
        let locks = LockSet { orders, ..LockSet::default() };
        let apply = |work: &mut UnitOfWork, (asked, settled): &(Settle, Settled)| match *settled {
            Settled::Void => work.void(asked.order_id, asked.attempt),
            Settled::Order { status, version, deleted } => {
                let order_id = asked.order_id;
                work.reconcile(&ReportedState { order_id, status, version, deleted, desired: None })
            }
        };
        let reconciled = self.decide_each(&locks, answers, apply).await?;
        for ((asked, settled), reconciled) in answers.iter().zip(&reconciled) {
            let version = if let Settled::Order { version, .. } = settled { *version } else { 0 };
            report(asked.order_id, version, *reconciled);
        }
        Ok(reconciled)
    }

    /// Adds or writes off stock, once per adjustment id.
    pub async fn adjust(&self, adjusts: &[Adjust]) -> Result<Vec<Result<Adjusted, DomainError>>, StoreError> {
        let locks = LockSet {
            products: adjusts.iter().map(|adjust| adjust.product_id.clone()).collect(),
            adjustments: adjusts.iter().map(|adjust| adjust.adjustment_id).collect(),
            ..LockSet::default()
        };
        self.decide_each(&locks, adjusts, UnitOfWork::adjust).await
    }

    /// Inserts products into the catalogue, or changes them.
    pub async fn put(&self, puts: &[PutProduct]) -> Result<Vec<Result<Product, DomainError>>, StoreError> {
        let products = puts.iter().map(|put| put.id.clone()).collect();
        let locks = LockSet { products, ..LockSet::default() };
        self.decide_each(&locks, puts, |work, put| work.put(put, self.currency)).await
    }

    /// Takes products out of the catalogue.
    pub async fn withdraw(
        &self,
        product_ids: &[ProductId],
    ) -> Result<Vec<Result<Product, DomainError>>, StoreError> {
        let locks = LockSet { products: product_ids.iter().cloned().collect(), ..LockSet::default() };
        self.decide_each(&locks, product_ids, UnitOfWork::withdraw).await
    }

    /// Decides about the items one after the other, in one transaction.
    async fn decide_each<I, T>(
        &self,
        locks: &LockSet,
        items: &[I],
        decide: impl Fn(&mut UnitOfWork, &I) -> T,
    ) -> Result<Vec<T>, StoreError> {
        self.transact(locks, |work| items.iter().map(|item| decide(work, item)).collect()).await
    }

    /// Loads the rows of `locks`, lets `decide` change them, and commits what changed.
    ///
    /// After contention this runs again, a bounded number of times: `decide` may be called more than once, each time with
    /// a fresh unit of work, and only the last call counts.
    pub(crate) async fn transact<T>(
        &self,
        locks: &LockSet,
        decide: impl Fn(&mut UnitOfWork) -> T,
    ) -> Result<T, StoreError> {
        let decide = &decide;
        retrying(|| async move {
            let transaction = self.database.begin().await?;
            let mut work = load_locked(&self.database, &transaction, locks, self.hold_time).await?;
            let decided = decide(&mut work);
            save(&work, &transaction).await?;
            if work.releases() {
                self.failpoints.hit(Failpoint::ReleaseBeforeCommit).await;
            }
            transaction.commit().await?;
            Ok(decided)
        })
        .await
    }
}

/// Splits requests into runs that together have a bounded number of items.
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
        let outcome: &'static str = answer.into();
        metrics::counter!("waybill_reservations_total", "outcome" => outcome).increment(1);
    }
}

fn report(order_id: OrderId, version: u32, reconciled: Reconciled) {
    match reconciled {
        Reconciled::Stale | Reconciled::Done => {}
        Reconciled::Repaired => {
            tracing::error!(%order_id, version, "stock of an order was not held, and is held now");
            metrics::counter!("waybill_stock_mended_total").increment(1);
        }
        Reconciled::Inconsistent(reason) => {
            tracing::error!(%order_id, version, reason, "stock of an order is not as its state requires");
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
