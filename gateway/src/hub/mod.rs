//! Live updates for this gateway's subscribers.
//!
//! One hub hears all order events and alone checks that none is missing; what is missing it replays, once for everybody.
//! Subscribers have seats: bounded buffers that receive the events they asked for. One that falls behind loses its seat
//! rather than an event, and replays on its own account until it has caught up.
//!
//! Reading order: `sequence` decides what is missing, `seats` hands out, `listener` hears and replays, `follower`
//! is one subscriber.

mod follower;
mod interest;
mod listener;
mod replay;
#[cfg(test)]
mod samples;
mod seats;
mod sequence;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus::events::{EventSignal, EventSubscription};
use bus::heartbeat::Heartbeat;
use tokio_util::sync::CancellationToken;

pub(crate) use follower::{FollowError, Follower};
pub(crate) use interest::Interest;
pub(crate) use replay::ReplayError;

use self::listener::Listener;
use self::seats::Seats;
use crate::orders::Backend;
use bus::backoff::Backoff;

/// Where live events come from.
#[async_trait]
pub trait LiveSource: Send + 'static {
    /// What comes next, however long that takes. Dropping the future loses nothing.
    async fn next(&mut self) -> EventSignal;
}

#[async_trait]
impl LiveSource for EventSubscription {
    async fn next(&mut self) -> EventSignal {
        Self::next(self).await
    }
}

/// A hub's bounds.
#[derive(Debug, Clone, Copy)]
pub struct HubSettings {
    /// How often the head is asked for while nothing is heard.
    pub head_interval: Duration,
    /// How often a replay that fails is tried again.
    pub backoff: Backoff,
    /// Failures in a row before a subscriber's replay ends its operation.
    pub follower_patience: u32,
    /// Events that a subscriber may leave unread before it loses its seat.
    pub seat_capacity: usize,
    /// Subscribers at any time.
    pub max_seats: usize,
}

impl Default for HubSettings {
    fn default() -> Self {
        Self {
            head_interval: Duration::from_secs(2),
            backoff: Backoff { first: Duration::from_millis(100), limit: Duration::from_secs(5) },
            follower_patience: 8,
            seat_capacity: 64,
            max_seats: 100_000,
        }
    }
}

/// The hub of one gateway. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Hub {
    seats: Arc<Seats>,
    settings: HubSettings,
}

impl Hub {
    pub(crate) fn new(settings: HubSettings) -> Self {
        Self { seats: Arc::new(Seats::new(settings.seat_capacity, settings.max_seats)), settings }
    }

    /// Hears and hands out events until `stop`.
    pub(crate) async fn run(
        &self,
        live: impl LiveSource,
        backend: Backend,
        heartbeat: Heartbeat,
        stop: CancellationToken,
    ) {
        let listener = Listener::new(live, backend, Arc::clone(&self.seats), self.settings, heartbeat);
        stop.run_until_cancelled(listener.run()).await;
    }

    /// Follows what somebody is interested in, from now on or after what a cursor names.
    pub(crate) async fn follow(
        &self,
        interest: Interest,
        after: Option<String>,
        backend: Backend,
    ) -> Result<Follower, FollowError> {
        Follower::start(Arc::clone(&self.seats), self.settings, interest, after, backend).await
    }

    /// Whether the head of all events is known, as it has to be before anybody can follow.
    pub(crate) fn knows_head(&self) -> bool {
        self.seats.position().is_some()
    }
}
