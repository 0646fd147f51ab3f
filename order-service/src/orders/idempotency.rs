//! Stored responses to requests for changes, by request id. A change that was made has its event, which is kept for as long
//! as the order's history is. Any other response has a row of its own, of which the latest are kept: an order that is asked
//! for the impossible again and again takes no more room than that. Only what comes later pushes a response out, never
//! time: nothing says when the last copy of a request has come.

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
use crate::tables::{change_answer, order_event};

/// Responses without an event that are kept for each order, and in each bucket: a copy of a request comes a minute after it
/// at the most, unless a machine stands still.
const KEPT_MAX: u64 = 100;
/// Buckets of responses about orders that don't exist, 102,400 responses in total. A request's bucket is in its id, which
/// the gateway draws: no client can aim at the bucket of another's request.
const UNKNOWN_ORDER_BUCKETS: u128 = 1_024;
/// Responses that are deleted when one is stored: more than one only if an earlier release has left more than are kept.
const DELETED_MAX: u64 = 100;

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

/// Whether the order of a request is there: deleted orders are, fences are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OrderExists {
    Yes,
    No,
}

/// Stores the response to a request that changed nothing: the version that the order had, or a refusal. Deletes the
/// responses that are not among the latest any more.
pub(crate) async fn store_response(
    transaction: &impl ConnectionTrait,
    request_id: Uuid,
    order_id: OrderId,
    exists: OrderExists,
    response: Result<u32, &DomainError>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let bucket = (exists == OrderExists::No).then(|| unknown_order_bucket(request_id));
    let row = change_answer::ActiveModel {
        request_id: Set(request_id),
        order_id: Set(order_id.0),
        version: Set(response.ok().map(i64::from)),
        refusal: Set(response.err().map(to_json).transpose()?),
        answered_at: Set(now.to_utc()),
        unknown_order_bucket: Set(bucket),
    };
    change_answer::Entity::insert(row).exec_without_returning(transaction).await?;
    let beside = match bucket {
        Some(bucket) => change_answer::Column::UnknownOrderBucket.eq(bucket),
        None => change_answer::Column::OrderId.eq(order_id.0),
    };
    let superseded = change_answer::Entity::find()
        .select_only()
        .column(change_answer::Column::RequestId)
        .filter(beside)
        .order_by_desc(change_answer::Column::AnsweredAt)
        .offset(KEPT_MAX)
        .limit(DELETED_MAX)
        .into_query();
    change_answer::Entity::delete_many()
        .filter(change_answer::Column::RequestId.in_subquery(superseded))
        .exec(transaction)
        .await?;
    Ok(())
}

fn unknown_order_bucket(request_id: Uuid) -> i16 {
    i16::try_from(request_id.as_u128() % UNKNOWN_ORDER_BUCKETS).expect("there are fewer than 2^15 buckets")
}
