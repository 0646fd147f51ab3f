//! Publishes numbered events: in order, each at least once, resuming at the lowest that is not marked.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
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

/// Events published together, before the next are read.
const PUBLISHED_AT_ONCE: u64 = 256;
/// How long a batch may take to be confirmed before it is published again.
const CONFIRM_LIMIT: Duration = Duration::from_secs(10);
/// How often the outbox is looked at without being woken; a copy on standby tries for the lease as often.
const POLL: Duration = Duration::from_millis(200);
/// The pause after a failure; doubles up to the limit.
const FAILURE_FIRST: Duration = Duration::from_millis(50);
const FAILURE_LIMIT: Duration = Duration::from_secs(2);

/// An event as it is published.
#[derive(Debug, Clone)]
pub struct Publication {
    /// Its place in the one sequence.
    pub position: i64,
    /// Where it goes.
    pub target: Target,
    /// The same message each time it is published.
    pub message: Message,
}

/// A service's events, as the relay reads them.
#[async_trait]
pub trait OutboxSource: Send + Sync + 'static {
    /// Numbered events that are not marked as published, by position, the first `limit` of them.
    async fn unpublished(&self, limit: u64) -> Result<Vec<Publication>, StoreError>;
}

/// What a tick did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relayed {
    /// Another copy holds the lease.
    Standby,
    /// So many events were published and marked; 0 where none waited.
    Published(usize),
}

/// Why a tick did not get to its end. What was published and not marked is published again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The broker did not confirm an event.
    #[error("an event was not confirmed: {0}")]
    Publish(#[from] PublishError),
}

/// Moves events from the outbox to the broker. Any number of copies may run; the lease lets one work.
pub struct Relay {
    /// Where the events are.
    pub database: Database,
    /// In which tables.
    pub outbox: Outbox,
    /// How they are read.
    pub events: Arc<dyn OutboxSource>,
    /// Where they go.
    pub transport: SharedTransport,
    /// Who does it.
    pub lease: Lease,
    /// Where it may be stopped.
    pub failpoints: Failpoints,
}

impl Relay {
    /// Numbers what is committed, and publishes and marks one batch. A copy that can't publish gives up its lease:
    /// another's connection to the broker may be a better one.
    pub async fn tick(&self) -> Result<Relayed, RelayError> {
        if !self.lease.hold().await? {
            return Ok(Relayed::Standby);
        }
        let relayed = self.relay().await;
        if matches!(relayed, Err(RelayError::Publish(_))) {
            self.give_up_lease().await;
        }
        relayed
    }

    async fn relay(&self) -> Result<Relayed, RelayError> {
        self.outbox.assign_positions(&self.database).await?;
        let publications = self.events.unpublished(PUBLISHED_AT_ONCE).await?;
        if publications.is_empty() {
            return Ok(Relayed::Published(0));
        }
        self.failpoints.hit(Failpoint::AfterNumberingBeforePublish).await;
        let positions: Vec<i64> = publications.iter().map(|publication| publication.position).collect();
        let messages = publications.into_iter().map(|event| (event.target, event.message)).collect();
        let confirmed = self.transport.publish(messages, CONFIRM_LIMIT).await;
        self.failpoints.hit(Failpoint::AfterPublishBeforeMark).await;
        // What was confirmed behind a failure is published again in its place.
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

    /// Ticks whenever `wake` says that something was committed, and now and then, until `stop`; then
    /// once more, and gives up the lease.
    pub async fn run(&self, wake: &Notify, heartbeat: &Heartbeat, stop: &CancellationToken) {
        let active = metrics::gauge!("waybill_relay_active");
        let mut pause = FAILURE_FIRST;
        while !stop.is_cancelled() {
            heartbeat.beat();
            let relayed = self.tick().await;
            active.set(f64::from(matches!(relayed, Ok(Relayed::Published(_)))));
            match relayed {
                Ok(Relayed::Published(1..)) => pause = FAILURE_FIRST,
                Ok(Relayed::Published(0)) => {
                    pause = FAILURE_FIRST;
                    let woken = tokio::time::timeout(POLL, wake.notified());
                    stop.run_until_cancelled(woken).await;
                }
                Ok(Relayed::Standby) => {
                    stop.run_until_cancelled(tokio::time::sleep(POLL)).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "events wait to be published");
                    let others_turn = match error {
                        RelayError::Publish(_) => 2 * POLL,
                        RelayError::Store(_) => Duration::ZERO,
                    };
                    stop.run_until_cancelled(tokio::time::sleep(pause.max(others_turn))).await;
                    pause = (pause * 2).min(FAILURE_LIMIT);
                }
            }
        }
        if let Err(error) = self.tick().await {
            tracing::info!(%error, "events are left for the next start");
        }
        self.give_up_lease().await;
    }

    async fn give_up_lease(&self) {
        if let Err(error) = self.lease.release().await {
            tracing::debug!(%error, "the relay's lease runs out by itself");
        }
    }
}
