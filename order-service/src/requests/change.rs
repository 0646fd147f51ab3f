//! `order.update`, `order.cancel` and `order.delete`: load under the row's lock, decide, save.

use schema::order::Order;
use schema::order_messages::Change;
use schema::refusal::{Outcome, Refusal, RefusalCode};
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _};
use store::failpoint::Failpoint;
use store::{StoreError, retrying};

use crate::context::Context;
use crate::domain::changing::{cancel, delete, fault, update};
use crate::domain::{Changed, Decision};
use crate::entity::order_event;
use crate::orders::{NewEvent, Stored, event_order, lock, save};

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
) -> Result<Vec<Outcome<Order>>, StoreError> {
    let mut outcomes = Vec::with_capacity(changes.len());
    for change in &changes {
        let refused = (kind == Kind::Update).then(|| fault(&change.changes)).flatten();
        let result = match refused {
            Some(refusal) => Err(refusal),
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
) -> Result<Result<Order, Refusal>, StoreError> {
    let transaction = context.database.begin().await?;
    let Some(stored) = lock(&transaction, change.order_id).await?.filter(|stored| reached(stored, change))
    else {
        return Ok(Err(not_found()));
    };
    // A repeat gets the first answer, also when the order has been deleted since.
    if let Some(first) = first_answer(&transaction, change).await? {
        return Ok(first);
    }
    if stored.deleted {
        return Ok(Err(not_found()));
    }
    match decide(kind, &stored.order, change, context.clock.now()) {
        Decision::AlreadySo => Ok(Ok(stored.order)),
        Decision::Refused(refusal) => Ok(Err(refusal)),
        Decision::Applied(changed) => {
            let order = changed.order.clone();
            let event = NewEvent::new(context.ids.fresh(), Changed::clone(&changed), Some(change.request_id));
            if !save(&transaction, &stored, &event).await? {
                return Err(StoreError::Contention("a locked order moved on".to_owned()));
            }
            transaction.commit().await?;
            context.committed.notify_one();
            context.failpoints.reach(Failpoint::AfterChangeBeforeReply).await;
            Ok(Ok(order))
        }
    }
}

fn decide(kind: Kind, order: &Order, change: &Change, now: schema::time::Timestamp) -> Decision {
    match kind {
        Kind::Update => update(order, &change.changes, change.expected_version, now),
        Kind::Cancel => cancel(order, change.expected_version, now),
        Kind::Delete => delete(order, change.expected_version, now),
    }
}

fn reached(stored: &Stored, change: &Change) -> bool {
    !stored.is_fence() && change.owner.reaches(&stored.order.customer_id)
}

/// What this request was answered when it was first made, if its change was saved.
async fn first_answer(
    transaction: &impl ConnectionTrait,
    change: &Change,
) -> Result<Option<Result<Order, Refusal>>, StoreError> {
    let made = order_event::Entity::find()
        .filter(order_event::Column::RequestId.eq(change.request_id))
        .one(transaction)
        .await?;
    let Some(event) = made else { return Ok(None) };
    if event.order_id != change.order_id.0 {
        let message = "this request id was used for another order";
        return Ok(Some(Err(Refusal::new(RefusalCode::InvalidInput, message))));
    }
    Ok(Some(Ok(event_order(event)?)))
}

fn not_found() -> Refusal {
    Refusal::at(RefusalCode::OrderNotFound, "there is no such order", ["input", "id"])
}
