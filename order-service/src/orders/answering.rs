//! What requests for changes were answered, by their ids: a change that was made has left its event, any other answer
//! a row of its own.

use schema::domain_error::DomainError;
use schema::ids::OrderId;
use schema::order::Order;
use schema::time::Timestamp;
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    QueryTrait as _,
};
use store::{Database, StoreError};
use uuid::Uuid;

use super::events::event_order;
use super::row::{from_json, to_json};
use crate::tables::{change_answer, order_event};

/// Answers forgotten by one statement.
const FORGOTTEN_AT_ONCE: u64 = 10_000;

/// What a request was answered when it first came.
pub(crate) struct FirstAnswer {
    pub(crate) order_id: OrderId,
    /// The order as it was right after.
    pub(crate) result: Result<Order, DomainError>,
}

/// The answer to this request, if it came before.
pub(crate) async fn first_answer(
    transaction: &impl ConnectionTrait,
    request_id: Uuid,
) -> Result<Option<FirstAnswer>, StoreError> {
    let made = order_event::Entity::find()
        .filter(order_event::Column::RequestId.eq(request_id))
        .one(transaction)
        .await?;
    if let Some(event) = made {
        let order_id = OrderId(event.order_id);
        return Ok(Some(FirstAnswer { order_id, result: Ok(event_order(event)?) }));
    }
    let Some(answer) = change_answer::Entity::find_by_id(request_id).one(transaction).await? else {
        return Ok(None);
    };
    let result = match answer.refusal {
        Some(refusal) => Err(from_json(refusal)?),
        None => Ok(order_at(transaction, answer.order_id, answer.version).await?),
    };
    Ok(Some(FirstAnswer { order_id: OrderId(answer.order_id), result }))
}

async fn order_at(
    transaction: &impl ConnectionTrait,
    order_id: Uuid,
    version: Option<i64>,
) -> Result<Order, StoreError> {
    let event = order_event::Entity::find()
        .filter(order_event::Column::OrderId.eq(order_id))
        .filter(order_event::Column::Version.eq(version))
        .one(transaction)
        .await?;
    let missing = || StoreError::Data(format!("order {order_id} has no version {version:?}"));
    event_order(event.ok_or_else(missing)?)
}

/// Remembers what a request was answered that changed nothing: the version that the order had, or a refusal.
pub(crate) async fn remember(
    transaction: &impl ConnectionTrait,
    request_id: Uuid,
    order_id: OrderId,
    answer: Result<u32, &DomainError>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let row = change_answer::ActiveModel {
        request_id: Set(request_id),
        order_id: Set(order_id.0),
        version: Set(answer.ok().map(i64::from)),
        refusal: Set(answer.err().map(to_json).transpose()?),
        answered_at: Set(now.to_utc()),
    };
    change_answer::Entity::insert(row).exec_without_returning(transaction).await?;
    Ok(())
}

/// Forgets such answers from before `then`.
pub(crate) async fn forget(database: &Database, then: Timestamp) -> Result<(), StoreError> {
    loop {
        let oldest = change_answer::Entity::find()
            .select_only()
            .column(change_answer::Column::RequestId)
            .filter(change_answer::Column::AnsweredAt.lt(then.to_utc()))
            .order_by_asc(change_answer::Column::AnsweredAt)
            .limit(FORGOTTEN_AT_ONCE)
            .into_query();
        let forgotten = change_answer::Entity::delete_many()
            .filter(change_answer::Column::RequestId.in_subquery(oldest))
            .exec(database.write())
            .await?;
        if forgotten.rows_affected < FORGOTTEN_AT_ONCE {
            return Ok(());
        }
    }
}
