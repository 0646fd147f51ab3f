use bus::requester::RequestError;
use schema::ids::OrderId;
use schema::order_messages::{After, Replay, Replayed};
use schema::pattern::ORDER_REPLAY;
use schema::refusal::{Outcome, Refusal};

use crate::orders::{Backend, Reach};

/// Why there is no page of past events.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ReplayError {
    /// order-service gave none.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The point it was to start from is not one, is beyond reach, or is no longer kept.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// Replaying leads nowhere: the page neither moves on nor reaches the head.
    #[error("replay does not move on")]
    Stuck,
}

/// One page of the events after a point; without one, none, and where the head is.
pub(super) async fn replay(
    backend: &Backend,
    reach: Reach,
    order_id: Option<OrderId>,
    after: Option<After>,
    limit: u32,
) -> Result<Replayed, ReplayError> {
    let question = Replay { owner: reach.into(), order_id, after, limit };
    let answer: Outcome<Replayed> = backend.ask_one(ORDER_REPLAY, &question).await?;
    answer.into_result().map_err(ReplayError::Refused)
}
