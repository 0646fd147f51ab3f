//! `order.update`, `order.cancel` and `order.delete`: load under the row's lock, decide, save.

use schema::domain_error::{DomainError, DomainErrorCode, DomainResult};
use schema::order::Order;
use schema::order_messages::Change;
use schema::time::Timestamp;
use sea_orm::DatabaseTransaction;
use store::failpoint::Failpoint;
use store::{StoreError, advisory_lock, retrying};

use crate::context::Context;
use crate::domain::change::{cancel, delete, update};
use crate::domain::{Changed, Decision};
use crate::orders::{FirstAnswer, NewEvent, first_answer, lock, remember, save};

/// Which change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Update,
    Cancel,
    Delete,
}

/// Each order after its change, or why it was refused. They are made one after the other.
pub(super) async fn change(
    context: &Context,
    kind: Kind,
    changes: Vec<Change>,
) -> Result<Vec<DomainResult<Order>>, StoreError> {
    let mut outcomes = Vec::with_capacity(changes.len());
    for change in &changes {
        let invalid = if kind == Kind::Update { change.changes.validate() } else { Vec::new() };
        let result = match invalid.into_iter().next() {
            Some(error) => Err(error),
            None => retrying(|| change_one(context, kind, change)).await?,
        };
        outcomes.push(result.into());
    }
    Ok(outcomes)
}

async fn change_one(
    context: &Context,
    kind: Kind,
    change: &Change,
) -> Result<Result<Order, DomainError>, StoreError> {
    let transaction = context.database.begin().await?;
    // Where there is no order yet there is no row to lock: copies of one request go one after the other all the same.
    advisory_lock(&transaction, change.request_id.as_u128()).await?;
    let stored = lock(&transaction, change.order_id).await?.filter(|stored| !stored.is_fence());
    if stored.as_ref().is_some_and(|stored| !change.owner.includes(&stored.order.customer_id)) {
        return Ok(Err(not_found()));
    }
    // A repeat gets the first answer, also when the order has moved on, come about or been deleted since.
    if let Some(first) = first_answer(&transaction, change.request_id).await? {
        return Ok(answer_again(first, change));
    }
    let now = context.clock.now();
    let Some(stored) = stored.filter(|stored| !stored.deleted) else {
        return answer_unchanged(transaction, change, Err(not_found()), now).await;
    };
    match decide(kind, &stored.order, change, now) {
        Decision::NoOp => answer_unchanged(transaction, change, Ok(stored.order), now).await,
        Decision::Refused(refusal) => answer_unchanged(transaction, change, Err(refusal), now).await,
        Decision::Applied(changed) => {
            let order = changed.order.clone();
            let event = NewEvent::new(context.ids.fresh(), Changed::clone(&changed), Some(change.request_id));
            if !save(&transaction, &stored, &event).await? {
                return Err(StoreError::Contention("a locked order moved on".to_owned()));
            }
            transaction.commit().await?;
            context.committed.notify_one();
            context.failpoints.hit(Failpoint::AfterChangeBeforeReply).await;
            Ok(Ok(order))
        }
    }
}

/// Remembers the answer to a request that changed nothing, and gives it.
async fn answer_unchanged(
    transaction: DatabaseTransaction,
    change: &Change,
    answer: Result<Order, DomainError>,
    now: Timestamp,
) -> Result<Result<Order, DomainError>, StoreError> {
    let remembered = answer.as_ref().map(|order| order.version);
    remember(&transaction, change.request_id, change.order_id, remembered, now).await?;
    transaction.commit().await?;
    Ok(answer)
}

fn decide(kind: Kind, order: &Order, change: &Change, now: Timestamp) -> Decision {
    match kind {
        Kind::Update => update(order, &change.changes, change.expected_version, now),
        Kind::Cancel => cancel(order, change.expected_version, now),
        Kind::Delete => delete(order, change.expected_version, now),
    }
}

fn answer_again(first: FirstAnswer, change: &Change) -> Result<Order, DomainError> {
    if first.order_id != change.order_id {
        return Err(DomainError::new(
            DomainErrorCode::InvalidInput,
            "this request id was used for another order",
        ));
    }
    first.result
}

fn not_found() -> DomainError {
    DomainError::at(DomainErrorCode::OrderNotFound, "there is no such order", ["input", "id"])
}
