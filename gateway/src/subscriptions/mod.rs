//! Live updates for this gateway's subscribers.
//!
//! One [`EventListener`] receives all order events and alone checks that none is missing; a missing event is replayed
//! once for all subscribers. A subscription is a bounded queue of its subscriber's events. A subscriber
//! that falls behind loses its subscription rather than an event, and replays for itself until it has caught up.
//!
//! Reading order: `gaps` decides what is missing, `registry` dispatches, `listener` receives and replays, `stream` is one
//! subscriber.

mod gaps;
mod listener;
mod registry;
mod stream;

use async_trait::async_trait;
use bus::events::{EventSignal, EventSubscription};
use bus::heartbeat::Heartbeat;
use bus::rpc_client::RequestError;
use schema::domain_error::{DomainError, DomainResult};
use schema::order_messages::{Replay, Replayed};
use schema::pattern::ORDER_REPLAY;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

use self::listener::EventListener;
use self::registry::SubscriptionRegistry;
pub(crate) use self::stream::{EventFilter, SubscriptionError, SubscriptionStream};
use crate::orders::ServiceClient;
use bus::backoff::Backoff;

/// Where live events come from.
#[async_trait]
pub trait EventSource: Send + 'static {
    /// Waits for the next signal without bound. Dropping the future loses nothing.
    async fn next(&mut self) -> EventSignal;
}

#[async_trait]
impl EventSource for EventSubscription {
    async fn next(&mut self) -> EventSignal {
        Self::next(self).await
    }
}

/// The bounds of live updates.
#[derive(Debug, Clone, Copy)]
pub struct SubscriptionSettings {
    /// How often the listener requests the head while no event comes.
    pub head_interval: Duration,
    /// The pauses between a failed replay and the next.
    pub backoff: Backoff,
    /// Failures in a row before a subscriber's replay ends its operation.
    pub replay_retries: u32,
    /// Events that a subscriber may leave unread before it is disconnected.
    pub queue_capacity: usize,
    /// Subscriptions at any time.
    pub max_subscriptions: usize,
}

impl Default for SubscriptionSettings {
    fn default() -> Self {
        Self {
            head_interval: Duration::from_secs(2),
            backoff: Backoff { first: Duration::from_millis(100), limit: Duration::from_secs(5) },
            replay_retries: 8,
            queue_capacity: 64,
            max_subscriptions: 100_000,
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
        let registry = SubscriptionRegistry::new(settings.queue_capacity, settings.max_subscriptions);
        Self { registry: Arc::new(registry), settings }
    }

    /// Receives and dispatches events until `stop`.
    pub(crate) async fn run(
        &self,
        source: impl EventSource,
        client: ServiceClient,
        heartbeat: Heartbeat,
        stop: CancellationToken,
    ) {
        let registry = Arc::clone(&self.registry);
        let listener = EventListener::new(source, client, registry, self.settings, heartbeat);
        stop.run_until_cancelled(listener.run()).await;
    }

    /// Subscribes to the events that pass `filter`, from now on or after what a cursor names.
    pub(crate) async fn subscribe(
        &self,
        filter: EventFilter,
        after: Option<String>,
        client: ServiceClient,
    ) -> Result<SubscriptionStream, SubscriptionError> {
        let registry = Arc::clone(&self.registry);
        SubscriptionStream::start(registry, self.settings, filter, after, client).await
    }

    /// Whether the head of all events is known, without which no subscription can begin.
    pub(crate) fn are_available(&self) -> bool {
        self.registry.position().is_some()
    }
}

/// Why there is no page of past events.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ReplayError {
    /// order-service gave none.
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
