//! The relay publishes the outbox: in the order of positions, each event at least once, from the lowest unmarked one on.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus::backoff::Backoff;
use bus::heartbeat::Heartbeat;
use bus::message::Message;
use bus::transport::{PublishError, SharedTransport, Target};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::database::Database;
use crate::error::StoreError;
use crate::failpoint::{Failpoint, Failpoints};
use crate::lease::Lease;
use crate::outbox::Outbox;

const BATCH: u64 = 256;
/// How long the broker may take to confirm a batch before the relay publishes it again.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the relay reads the outbox without being woken, and how often a copy on standby tries for the lease.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(50), limit: Duration::from_secs(2) };

/// An event as it is published.
#[derive(Debug, Clone)]
pub struct Publication {
    pub position: i64,
    pub target: Target,
    /// The message, the same each time it is published.
    pub message: Message,
}

/// Reads a service's outbox for the relay.
#[async_trait]
pub trait OutboxSource: Send + Sync + 'static {
    /// Returns the first `limit` events, by position, that have one and are not marked as published.
    async fn unpublished(&self, limit: u64) -> Result<Vec<Publication>, StoreError>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relayed {
    /// Another copy holds the lease.
    Standby,
    /// The number of events that were published and marked.
    Published(usize),
}

/// Why a tick failed. Events that were published and not marked will be published again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the broker did not confirm an event: {0}")]
    Publish(#[from] PublishError),
}

/// Publishes events from the outbox to the broker. Any number of copies may run; the lease lets one work.
pub struct Relay {
    pub database: Database,
    pub outbox: Outbox,
    pub events: Arc<dyn OutboxSource>,
    pub transport: SharedTransport,
    pub lease: Lease,
    pub failpoints: Failpoints,
}

impl Relay {
    /// Assigns positions to committed events, then publishes and marks one batch. A copy that cannot publish releases
    /// its lease: another copy's connection to the broker may work.
    pub async fn tick(&self) -> Result<Relayed, RelayError> {
        if !self.lease.hold().await? {
            return Ok(Relayed::Standby);
        }
        let relayed = self.publish_batch().await;
        if matches!(relayed, Err(RelayError::Publish(_))) {
            self.release_lease().await;
        }
        relayed
    }

    async fn publish_batch(&self) -> Result<Relayed, RelayError> {
        let reading = self.events.unpublished(BATCH);
        let (is_behind, mut publications) = tokio::try_join!(self.outbox.is_behind(&self.database), reading)?;
        if is_behind {
            self.outbox.assign_positions(&self.database).await?;
            publications = self.events.unpublished(BATCH).await?;
        }
        let (positions, messages): (Vec<i64>, Vec<_>) =
            publications.into_iter().map(|event| (event.position, (event.target, event.message))).unzip();
        if positions.is_empty() {
            return Ok(Relayed::Published(0));
        }
        self.failpoints.hit(Failpoint::AfterNumberingBeforePublish).await;
        let confirmed = self.transport.publish(messages, CONFIRM_TIMEOUT).await;
        self.failpoints.hit(Failpoint::AfterPublishBeforeMark).await;
        // Events confirmed behind a failed one will be published again after it, to keep the order.
        let prefix = confirmed.iter().take_while(|result| result.is_ok()).count().min(positions.len());
        if let Some(&last) = prefix.checked_sub(1).and_then(|index| positions.get(index)) {
            self.outbox.mark_published(&self.database, last).await?;
            metrics::counter!("waybill_events_published_total").increment(prefix as u64);
        }
        match confirmed.into_iter().nth(prefix) {
            Some(Err(error)) => Err(error.into()),
            None if prefix < positions.len() => Err(PublishError::Disconnected.into()),
            _ => Ok(Relayed::Published(prefix)),
        }
    }

    /// Ticks at each `wake` (events were committed) and every 200 ms until `stop`; then once more, unless the last tick has
    /// failed, and releases the lease.
    pub async fn run(&self, wake: &Notify, heartbeat: &Heartbeat, stop: &CancellationToken) {
        let active = metrics::gauge!("waybill_relay_active");
        let mut failures = 0;
        while !stop.is_cancelled() {
            heartbeat.beat();
            let relayed = self.tick().await;
            active.set(f64::from(matches!(relayed, Ok(Relayed::Published(_)))));
            match relayed {
                Ok(Relayed::Published(1..)) => failures = 0,
                Ok(Relayed::Published(0)) => {
                    failures = 0;
                    let woken = tokio::time::timeout(POLL_INTERVAL, wake.notified());
                    stop.run_until_cancelled(woken).await;
                }
                Ok(Relayed::Standby) => {
                    failures = 0;
                    stop.run_until_cancelled(tokio::time::sleep(POLL_INTERVAL)).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot publish events");
                    // Without the lease, leave another copy the time to take it.
                    let standby = match error {
                        RelayError::Publish(_) => 2 * POLL_INTERVAL,
                        RelayError::Store(_) => Duration::ZERO,
                    };
                    failures += 1;
                    let pause = BACKOFF.pause(failures).max(standby);
                    stop.run_until_cancelled(tokio::time::sleep(pause)).await;
                }
            }
        }
        if failures > 0 {
            tracing::info!("events are left for the next start");
        } else if let Err(error) = self.tick().await {
            tracing::info!(%error, "events are left for the next start");
        }
        self.release_lease().await;
    }

    async fn release_lease(&self) {
        if let Err(error) = self.lease.release().await {
            tracing::debug!(%error, "cannot release the relay's lease");
        }
    }
}
