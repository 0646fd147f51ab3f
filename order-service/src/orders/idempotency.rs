//! Stored responses to requests for changes, by request id. A change that was made has its event; any other response has
//! a row of its own, which is deleted when no repeat of the request can come any more.

use std::time::Duration;

use schema::domain_error::DomainError;
use schema::ids::OrderId;
use schema::order::Order;
use schema::time::Timestamp;
use sea_orm::ActiveValue::Set;
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
    QueryTrait as _,
};
use store::StoreError;
use uuid::Uuid;

use super::events::to_json;
use super::query::from_json;
use crate::context::Context;
use crate::tables::{change_answer, order_event};

/// How long a response without an event is kept. A repeat of a request is refused 2 s after its deadline, and a request
/// is handled for at most 30 s: the rest is for clocks that differ and for machines that stall.
const RETENTION: Duration = Duration::from_hours(1);
const CLEANUP_INTERVAL: Duration = Duration::from_mins(5);
/// Responses deleted by one statement.
const DELETE_BATCH: u64 = 10_000;

/// The response to a request when it was first handled.
pub(crate) struct StoredResponse {
    pub(crate) order_id: OrderId,
    /// The order as it was right after.
    pub(crate) result: Result<Order, DomainError>,
}

/// Returns the response to this request if it was handled before.
pub(crate) async fn stored_response(
    transaction: &impl ConnectionTrait,
    request_id: Uuid,
) -> Result<Option<StoredResponse>, StoreError> {
    let event = order_event::Entity::find()
        .filter(order_event::Column::RequestId.eq(request_id))
        .one(transaction)
        .await?;
    if let Some(event) = event {
        let order_id = OrderId(event.order_id);
        return Ok(Some(StoredResponse { order_id, result: Ok(from_json(event.payload)?) }));
    }
    let Some(row) = change_answer::Entity::find_by_id(request_id).one(transaction).await? else {
        return Ok(None);
    };
    let result = match row.refusal {
        Some(refusal) => Err(from_json(refusal)?),
        None => Ok(order_at_version(transaction, row.order_id, row.version).await?),
    };
    Ok(Some(StoredResponse { order_id: OrderId(row.order_id), result }))
}

async fn order_at_version(
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
    from_json(event.ok_or_else(missing)?.payload)
}

/// Stores the response to a request that changed nothing: the version that the order had, or a refusal.
pub(crate) async fn store_response(
    transaction: &impl ConnectionTrait,
    request_id: Uuid,
    order_id: OrderId,
    response: Result<u32, &DomainError>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let row = change_answer::ActiveModel {
        request_id: Set(request_id),
        order_id: Set(order_id.0),
        version: Set(response.ok().map(i64::from)),
        refusal: Set(response.err().map(to_json).transpose()?),
        answered_at: Set(now.to_utc()),
    };
    change_answer::Entity::insert(row).exec_without_returning(transaction).await?;
    Ok(())
}

/// Deletes the responses that are older than the retention.
pub async fn delete_old_responses(context: &Context) -> Result<(), StoreError> {
    let expired = context.clock.now().minus(RETENTION);
    loop {
        let oldest = change_answer::Entity::find()
            .select_only()
            .column(change_answer::Column::RequestId)
            .filter(change_answer::Column::AnsweredAt.lt(expired.to_utc()))
            .order_by_asc(change_answer::Column::AnsweredAt)
            .limit(DELETE_BATCH)
            .into_query();
        let deleted = change_answer::Entity::delete_many()
            .filter(change_answer::Column::RequestId.in_subquery(oldest))
            .exec(context.database.write())
            .await?;
        if deleted.rows_affected < DELETE_BATCH {
            return Ok(());
        }
    }
}

/// Deletes old responses every five minutes until dropped. Every copy of the service may run it.
pub(crate) async fn keep_cleaning_up(context: Context) {
    loop {
        if let Err(error) = delete_old_responses(&context).await {
            tracing::debug!(%error, "cannot delete old responses");
        }
        tokio::time::sleep(CLEANUP_INTERVAL).await;
    }
}
