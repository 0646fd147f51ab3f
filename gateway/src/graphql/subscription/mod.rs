//! Live updates: what is followed, and how each update is resolved.

mod resolution;
mod update;

use async_graphql::{Context, ID, Subscription as GraphqlSubscription};
use futures::stream::{self, Stream};
use schema::cursor::UpdateCursor;
use schema::ids::OrderId;
use schema::order_messages::OrderScope;
use std::time::Duration;

use self::resolution::{Operation, Resolved};
use self::update::OrderUpdate;
use super::loading::Loaders;
use super::page::list_error;
use crate::auth::Scope;
use crate::auth::Viewer;
use crate::graphql::fault::read_fault;
use crate::hub::{FollowError, Follower, Hub, Interest, ReplayError};
use crate::query::{ErrorCode, GraphqlError};
use bus::backoff::Backoff;

pub(crate) struct Subscription;

#[GraphqlSubscription]
impl Subscription {
    /// Updates to one's own orders, to those of customerId (orders:all), or to one order, in order, without gaps or repeats.
    /// Starts at now; with `after` (the cursor of an order or of an earlier update) it first replays what came since.
    /// An orderId that doesn't exist yet is fine: its updates come when it does.
    async fn order_updated(
        &self,
        ctx: &Context<'_>,
        order_id: Option<ID>,
        customer_id: Option<ID>,
        after: Option<String>,
    ) -> Result<impl Stream<Item = Result<Resolved<OrderUpdate>, GraphqlError>> + use<>, GraphqlError> {
        let viewer = Viewer::from_context(ctx)?;
        viewer.require(Scope::OrdersRead)?;
        let interest = interest(viewer, order_id.as_ref(), customer_id.as_ref())?;
        check_cursor(after.as_deref())?;
        let loaders = ctx.data_unchecked::<Loaders>().clone();
        let hub = ctx.data_unchecked::<Hub>();
        let follower = hub.follow(interest, after, loaders.backend().clone()).await;
        let operation = Operation::new(loaders, *ctx.data_unchecked::<UpdatePatience>());
        Ok(updates(follower.map_err(follow_fault)?, operation))
    }
}

/// How long an update's nested fields are tried before the operation ends.
#[derive(Debug, Clone, Copy)]
pub struct UpdatePatience {
    /// The pauses in between.
    pub backoff: Backoff,
    /// How often an update is resolved again.
    pub retries: u32,
}

impl Default for UpdatePatience {
    /// About six seconds beside the requests' own deadlines.
    fn default() -> Self {
        let backoff = Backoff { first: Duration::from_millis(250), limit: Duration::from_secs(4) };
        Self { backoff, retries: 5 }
    }
}

/// Whose updates are asked for: one's own, the named customer's, or those of one order within reach.
fn interest(
    viewer: &Viewer,
    order_id: Option<&ID>,
    customer_id: Option<&ID>,
) -> Result<Interest, GraphqlError> {
    let customer = customer_id.map(|id| viewer.default_to_caller(Some(id.as_str()))).transpose()?;
    let Some(order_id) = order_id else {
        return Ok(Interest::Customer(customer.unwrap_or_else(|| viewer.customer_id.clone())));
    };
    let order_id: OrderId =
        order_id.parse().map_err(|error| ErrorCode::BadUserInput.error(format!("orderId is {error}")))?;
    Ok(Interest::Order(
        order_id,
        customer.map_or_else(|| viewer.order_scope(), |customer_id| OrderScope::Customer { customer_id }),
    ))
}

/// A cursor that can't be one is refused here; whether the viewer may use it, order-service says.
fn check_cursor(cursor: Option<&str>) -> Result<(), GraphqlError> {
    match cursor.map(UpdateCursor::decode) {
        Some(Err(error)) => Err(ErrorCode::CursorInvalid.error(error.to_string())),
        Some(Ok(_)) | None => Ok(()),
    }
}

/// The updates as they come; the last item is an error where the follower can't go on.
fn updates(
    follower: Follower,
    operation: Operation,
) -> impl Stream<Item = Result<Resolved<OrderUpdate>, GraphqlError>> {
    stream::unfold(Some((follower, operation)), |following| async {
        let (mut follower, operation) = following?;
        if operation.has_ended() {
            return None;
        }
        match follower.next().await {
            Ok(event) => {
                let update = Resolved::new(OrderUpdate(event), operation.clone());
                Some((Ok(update), Some((follower, operation))))
            }
            Err(error) => Some((Err(follow_fault(error)), None)),
        }
    })
}

fn follow_fault(error: FollowError) -> GraphqlError {
    match error {
        FollowError::NotReady => ErrorCode::ServiceUnavailable.error("live updates are not available yet"),
        FollowError::TooMany => ErrorCode::Overloaded.error("too many subscriptions"),
        FollowError::StartedOver => {
            ErrorCode::ServiceUnavailable.error("live updates were interrupted, resume after the last cursor")
        }
        FollowError::Replay(ReplayError::Request(error)) => read_fault(&error),
        FollowError::Replay(ReplayError::Refused(refusal)) => list_error(&refusal),
        FollowError::Replay(ReplayError::Stuck) => {
            ErrorCode::ServiceUnavailable.error("earlier updates can't be had at the moment")
        }
    }
}
