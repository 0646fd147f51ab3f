use bus::{events::EventSignal, heartbeat::Heartbeat};
use futures::{Stream, StreamExt};
use metrics::Gauge;
use schema::order_messages::{OrderScope, Replay, ReplayFrom};
use schema::{limits::REPLAY_MAX, order_events::OrderEvent};
use std::sync::Arc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::gaps::{GapDetector, PageEnd};
use super::registry::SubscriptionRegistry;
use super::{ReplayError, SubscriptionSettings, Subscriptions, replay};
use crate::orders::ServiceClient;

impl Subscriptions {
    /// Receives and dispatches events until `stop`.
    pub(crate) async fn run(
        &self,
        source: impl Stream<Item = EventSignal>,
        client: ServiceClient,
        heartbeat: Heartbeat,
        stop: CancellationToken,
    ) {
        let Self { registry, settings } = self;
        let lag = metrics::gauge!("waybill_hub_lag_events");
        let listener =
            EventListener { client, registry, settings, gaps: GapDetector::default(), lag, heartbeat };
        stop.run_until_cancelled(listener.run(source)).await;
    }
}

/// Receives live events, replays missing ones, and dispatches each event once, in order.
struct EventListener<'a> {
    client: ServiceClient,
    registry: &'a SubscriptionRegistry,
    settings: &'a SubscriptionSettings,
    gaps: GapDetector,
    /// How many events lie between the last dispatched and the last known.
    lag: Gauge,
    /// Beats with every signal, each look at the head, and each page.
    heartbeat: Heartbeat,
}

impl EventListener<'_> {
    async fn run(mut self, source: impl Stream<Item = EventSignal>) {
        let mut source = std::pin::pin!(source);
        let mut failures = 0;
        let mut check_at = Instant::now() + self.settings.head_interval;
        loop {
            self.heartbeat.beat();
            tokio::select! {
                Some(signal) = source.next() => {
                    let dispatched = self.on_event(signal);
                    // An event without a gap before it shows by itself that nothing is missing.
                    if dispatched && failures == 0 {
                        check_at = Instant::now() + self.settings.head_interval;
                    }
                    if !self.gaps.behind || failures > 0 {
                        continue;
                    }
                }
                () = sleep_until(check_at) => self.gaps.behind = true,
            }
            let pause = match self.catch_up().await {
                Ok(()) => {
                    failures = 0;
                    self.settings.head_interval
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, failures, "replay of order events failed, retrying");
                    self.settings.backoff.pause(failures)
                }
            };
            check_at = Instant::now() + pause;
        }
    }

    /// Dispatches the event if it is the next one; returns whether it was.
    fn on_event(&mut self, signal: EventSignal) -> bool {
        match signal {
            EventSignal::Listening => self.gaps.behind = true,
            EventSignal::Lost => tracing::warn!("live order events interrupted"),
            EventSignal::Event(event) => {
                let is_next = self.gaps.on_live(event.position);
                self.update_lag(event.position);
                if is_next {
                    self.registry.dispatch(&Arc::from(event));
                    return true;
                }
            }
        }
        false
    }

    /// Replays and dispatches until no event is missing.
    async fn catch_up(&mut self) -> Result<(), ReplayError> {
        loop {
            self.heartbeat.beat();
            let from = self.gaps.last;
            let after = from.map(ReplayFrom::Position);
            let request = Replay { owner: OrderScope::Any, order_id: None, after, limit: REPLAY_MAX };
            let page = match replay(&self.client, &request).await {
                Err(ReplayError::Refused(error)) => {
                    tracing::error!(?error, "missed order events are no longer kept");
                    self.reset();
                    continue;
                }
                page => page?,
            };
            let (next, head) = (page.next, page.head);
            page.events.into_iter().for_each(|event| self.on_replayed(event));
            let end = self.gaps.on_page_end(from, next, head);
            self.update_lag(head);
            match end {
                PageEnd::CaughtUp => {
                    self.registry.advance(next);
                    return Ok(());
                }
                PageEnd::More => self.registry.advance(next),
                PageEnd::NoProgress => return Err(ReplayError::NoProgress),
                PageEnd::Reset => {
                    tracing::error!(head, "the sequence of order events was reset");
                    self.reset();
                }
            }
        }
    }

    fn on_replayed(&mut self, event: OrderEvent) {
        if self.gaps.on_replayed(event.position) {
            self.registry.dispatch(&Arc::new(event));
        }
    }

    fn update_lag(&self, known: i64) {
        if let Some(last) = self.gaps.last {
            self.lag.set(known.saturating_sub(last).max(0) as f64);
        }
    }

    fn reset(&mut self) {
        self.gaps = GapDetector::default();
        self.registry.reset();
    }
}
