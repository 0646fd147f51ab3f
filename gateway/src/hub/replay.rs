use bus::rpc_client::RequestError;
use schema::domain_error::{DomainError, DomainResult};
use schema::ids::OrderId;
use schema::order_messages::{OrderScope, Replay, ReplayFrom, Replayed};
use schema::pattern::ORDER_REPLAY;

use crate::orders::Backend;

/// Why there is no page of past events.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ReplayError {
    /// order-service gave none.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The point it was to start from is not one, is beyond reach, or is no longer kept.
    #[error("{}", .0.message)]
    Refused(DomainError),
    /// Replaying leads nowhere: the page neither moves on nor reaches the head.
    #[error("replay does not move on")]
    Stuck,
}

/// One page of the events after a point; without one, none, and where the head is.
pub(super) async fn replay(
    backend: &Backend,
    owner: OrderScope,
    order_id: Option<OrderId>,
    after: Option<ReplayFrom>,
    limit: u32,
) -> Result<Replayed, ReplayError> {
    let question = Replay { owner, order_id, after, limit };
    let answer: DomainResult<Replayed> = backend.ask_one(ORDER_REPLAY, &question).await?;
    answer.into_result().map_err(ReplayError::Refused)
}
