//! `order.update`, `order.cancel` and `order.delete`: load under the row's lock, decide, save.

use schema::domain_error::{DomainError, DomainErrorCode, DomainResult};
use schema::order::Order;
use schema::order_messages::Change;
use schema::time::Timestamp;
use store::failpoint::Failpoint;
use store::{StoreError, Transaction, advisory_lock, retrying};

use super::Refusable;
use crate::context::Context;
use crate::domain::Decision;
use crate::domain::change::{cancel, delete, update};
use crate::orders::{self, NewEvent, OrderExists, lock, store_response, stored_response};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Update,
    Cancel,
    Delete,
}

/// Makes the changes one after the other, and returns each order after its change, or why it was refused.
pub(super) async fn change(
    context: &Context,
    kind: Kind,
    changes: Vec<Change>,
) -> Result<Vec<DomainResult<Order>>, StoreError> {
    let mut results = Vec::with_capacity(changes.len());
    for change in &changes {
        let invalid = if kind == Kind::Update { change.changes.validate() } else { Vec::new() };
        let result = match invalid.into_iter().next() {
            Some(error) => Err(error),
            None => retrying(|| change_one(context, kind, change)).await?,
        };
        results.push(result.into());
    }
    Ok(results)
}

async fn change_one(context: &Context, kind: Kind, change: &Change) -> Refusable<Order> {
    let transaction = context.database.begin().await?;
    // Repeats of one request wait for one another, also while there is no order and so no row to lock.
    advisory_lock(&transaction, change.request_id.as_u128()).await?;
    let row = lock(&transaction, change.order_id).await?.filter(|row| !row.is_fence());
    if row.as_ref().is_some_and(|row| !change.owner.includes(&row.order.customer_id)) {
        return Ok(Err(DomainError::order_not_found()));
    }
    // A repeat gets the first response, also if the order has changed, been created or been deleted since.
    if let Some(stored) = stored_response(&transaction, change.request_id).await? {
        if stored.order_id == change.order_id {
            return Ok(stored.result);
        }
        let message = "this request id was used for another order";
        return Ok(Err(DomainError::new(DomainErrorCode::InvalidInput, message)));
    }
    let now = context.clock.now();
    let exists = if row.is_some() { OrderExists::Yes } else { OrderExists::No };
    let Some(row) = row.filter(|row| !row.deleted) else {
        return respond_unchanged(transaction, change, exists, Err(DomainError::order_not_found()), now)
            .await;
    };
    let (order, expected_version) = (&row.order, change.expected_version);
    let decision = match kind {
        Kind::Update => update(order, &change.changes, expected_version, now),
        Kind::Cancel => cancel(order, expected_version, now),
        Kind::Delete => delete(order, expected_version, now),
    };
    match decision {
        Decision::NoOp => respond_unchanged(transaction, change, exists, Ok(row.order), now).await,
        Decision::Refused(refusal) => respond_unchanged(transaction, change, exists, Err(refusal), now).await,
        Decision::Applied(changed) => {
            let order = changed.order.clone();
            let event = NewEvent::new(context.ids.fresh(), *changed, Some(change.request_id));
            if !orders::update(&transaction, &row, &event).await? {
                return Err(StoreError::Contention("a locked order has changed".to_owned()));
            }
            transaction.commit().await?;
            context.committed.notify_one();
            context.failpoints.hit(Failpoint::AfterChangeBeforeReply).await;
            Ok(Ok(order))
        }
    }
}

/// Stores and returns the response to a request that changed nothing.
async fn respond_unchanged(
    transaction: Transaction,
    change: &Change,
    exists: OrderExists,
    response: Result<Order, DomainError>,
    now: Timestamp,
) -> Refusable<Order> {
    let stored = response.as_ref().map(|order| order.version);
    store_response(&transaction, change.request_id, change.order_id, exists, stored, now).await?;
    transaction.commit().await?;
    Ok(response)
}
