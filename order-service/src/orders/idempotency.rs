//! Stored responses to requests for changes, by request id. A change that was made has its event; any other response has
//! a row of its own. Both are kept for as long as the order's history is: nothing says when the last repeat of a request
//! has come.

use schema::domain_error::DomainError;
use schema::ids::OrderId;
use schema::order::Order;
use schema::time::Timestamp;
use sea_orm::ActiveValue::Set;
use sea_orm::{ColumnTrait as _, ConnectionTrait, EntityTrait as _, QueryFilter as _};
use store::StoreError;
use uuid::Uuid;

use super::events::to_json;
use super::query::from_json;
use crate::tables::{change_answer, order_event};

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
