//! Live updates for this gateway's subscribers.
//!
//! One listener receives all order events and alone checks that none is missing; a missing event is replayed once for
//! all subscribers. A subscription is a bounded queue of its subscriber's events. A subscriber that falls behind loses its subscription rather than an event, and replays for itself until it has caught up.
//!
//! Reading order: `gaps` decides what is missing, `registry` dispatches, `listener` receives and replays, `stream` is one
//! subscriber, `shared` lets subscribers that ask for the same have the same bytes.

mod gaps;
mod listener;
mod registry;
mod resume;
mod shared;
mod stream;

use bus::{backoff::Backoff, rpc_client::RequestError};
use schema::domain_error::{DomainError, DomainResult};
use schema::order_messages::{Replay, Replayed};
use schema::pattern::ORDER_REPLAY;
use std::{sync::Arc, time::Duration};

use self::registry::SubscriptionRegistry;
pub(crate) use self::resume::ResumePoint;
pub(crate) use self::shared::{OperationKey, SharedOperations, Turn, UpdateShare};
pub(crate) use self::stream::{EventFilter, SubscriptionStream};
use crate::orders::ServiceClient;

/// Subscriptions at any time.
const MAX_SUBSCRIPTIONS: usize = 100_000;

/// The bounds of live updates.
#[derive(Debug, Clone, Copy)]
pub struct SubscriptionSettings {
    /// How often the listener requests the head while no event comes.
    pub head_interval: Duration,
    /// The pauses between a start that failed for a passing reason and the next, within the client's deadline.
    pub start_backoff: Backoff,
    /// The pauses between a failed replay and the next.
    pub backoff: Backoff,
    /// Failures in a row before a subscriber's replay ends its operation.
    pub replay_retries: u32,
    /// Events that a subscriber may leave unread before it is disconnected.
    pub queue_capacity: usize,
}

impl Default for SubscriptionSettings {
    fn default() -> Self {
        Self {
            head_interval: Duration::from_secs(2),
            start_backoff: Backoff { first: Duration::from_millis(50), limit: Duration::from_millis(500) },
            backoff: Backoff { first: Duration::from_millis(100), limit: Duration::from_secs(5) },
            replay_retries: 8,
            queue_capacity: 64,
        }
    }
}

/// The subscriptions of one gateway. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Subscriptions {
    registry: Arc<SubscriptionRegistry>,
    settings: SubscriptionSettings,
}

impl Subscriptions {
    pub(crate) fn new(settings: SubscriptionSettings) -> Self {
        let registry = Arc::new(SubscriptionRegistry::new(settings.queue_capacity, MAX_SUBSCRIPTIONS));
        Self { registry, settings }
    }

    /// Whether the head of all events is known, without which no subscription can begin.
    pub(crate) fn are_available(&self) -> bool {
        self.registry.position().is_some()
    }
}

/// Why a subscription can't begin, or can't go on.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum SubscriptionError {
    /// The gateway doesn't know yet which position is the last.
    #[error("the head of the order events is not known yet")]
    NotReady,
    #[error("too many subscriptions")]
    TooMany,
    /// Earlier events could not be replayed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// Only a cursor tells where to go on.
    #[error("the sequence of order events was reset")]
    Reset,
}

impl SubscriptionError {
    /// Whether the same subscription may begin, or go on after its last cursor, later.
    pub(crate) fn is_retryable(&self) -> bool {
        match self {
            Self::NotReady | Self::TooMany | Self::Reset | Self::Replay(ReplayError::NoProgress) => true,
            Self::Replay(ReplayError::Request(error)) => error.is_retryable(),
            Self::Replay(ReplayError::Refused(_)) => false,
        }
    }
}

/// Why there is no page of past events.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ReplayError {
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The point that the page starts from is not one, is beyond the scope, or is no longer kept.
    #[error("{}", .0.message)]
    Refused(DomainError),
    /// The page neither moves on nor reaches the head.
    #[error("replay makes no progress")]
    NoProgress,
}

/// Requests one page of the events after a point; without a point, where the head is.
async fn replay(client: &ServiceClient, request: &Replay) -> Result<Replayed, ReplayError> {
    let page: DomainResult<Replayed> = client.call(ORDER_REPLAY, request).await?;
    page.into_result().map_err(ReplayError::Refused)
}
