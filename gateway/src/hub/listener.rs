use bus::events::EventSignal;
use bus::heartbeat::Heartbeat;
use metrics::Gauge;
use schema::limits::REPLAY_MAX;
use schema::order_events::OrderEvent;
use schema::order_messages::{OrderScope, ReplayFrom};
use std::sync::Arc;
use tokio::time::{Instant, sleep_until};

use super::replay::{ReplayError, replay};
use super::seats::Seats;
use super::sequence::{Scanned, Sequence};
use super::{HubSettings, LiveSource};
use crate::orders::Backend;

/// Hears events live, replays what is missing, and tells the seats of each event once, in order.
pub(super) struct Listener<L> {
    live: L,
    backend: Backend,
    seats: Arc<Seats>,
    settings: HubSettings,
    sequence: Sequence,
    /// How many events lie between the last that was told and the last that is known of.
    lag: Gauge,
    /// Beats with everything that is heard, each look at the head, and each page.
    heartbeat: Heartbeat,
}

impl<L: LiveSource> Listener<L> {
    pub(super) fn new(
        live: L,
        backend: Backend,
        seats: Arc<Seats>,
        settings: HubSettings,
        heartbeat: Heartbeat,
    ) -> Self {
        Self {
            live,
            backend,
            seats,
            settings,
            sequence: Sequence::default(),
            lag: metrics::gauge!("waybill_hub_lag_events"),
            heartbeat,
        }
    }

    pub(super) async fn run(mut self) {
        let mut failures = 0;
        let mut check_at = Instant::now() + self.settings.head_interval;
        loop {
            self.heartbeat.beat();
            tokio::select! {
                heard = self.live.next() => {
                    let told = self.hear(heard);
                    // What arrives without a gap shows by itself that nothing is missing.
                    if told && failures == 0 {
                        check_at = Instant::now() + self.settings.head_interval;
                    }
                    if !self.sequence.is_behind() || failures > 0 {
                        continue;
                    }
                }
                () = sleep_until(check_at) => self.sequence.suspect(),
            }
            let pause = match self.catch_up().await {
                Ok(()) => {
                    failures = 0;
                    self.settings.head_interval
                }
                Err(error) => {
                    failures += 1;
                    tracing::warn!(%error, failures, "events that may be missing could not be replayed yet");
                    self.settings.backoff.pause(failures)
                }
            };
            check_at = Instant::now() + pause;
        }
    }

    /// Says whether an event was told.
    fn hear(&mut self, heard: EventSignal) -> bool {
        match heard {
            EventSignal::Listening => self.sequence.suspect(),
            EventSignal::Lost => tracing::warn!("live events are interrupted"),
            EventSignal::Event(event) => {
                let told = self.sequence.hear(event.position);
                self.show_lag(event.position);
                if told {
                    self.seats.tell(&Arc::from(event));
                    return true;
                }
            }
        }
        false
    }

    async fn catch_up(&mut self) -> Result<(), ReplayError> {
        loop {
            self.heartbeat.beat();
            let from = self.sequence.last();
            let page = match self.page_after(from).await {
                Err(ReplayError::Refused(refusal)) => {
                    tracing::error!(?refusal, "events before the oldest kept one were missed");
                    self.start_over();
                    continue;
                }
                page => page?,
            };
            let (next, head) = (page.next, page.head);
            page.events.into_iter().for_each(|event| self.retell(event));
            let scanned = self.sequence.scanned(from, next, head);
            self.show_lag(head);
            match scanned {
                Scanned::CaughtUp => {
                    self.seats.advance(next);
                    return Ok(());
                }
                Scanned::More => self.seats.advance(next),
                Scanned::Stuck => return Err(ReplayError::Stuck),
                Scanned::Rewound => {
                    tracing::error!(head, "the order events have begun anew");
                    self.start_over();
                }
            }
        }
    }

    async fn page_after(
        &self,
        position: Option<i64>,
    ) -> Result<schema::order_messages::Replayed, ReplayError> {
        replay(&self.backend, OrderScope::Any, None, position.map(ReplayFrom::Position), REPLAY_MAX).await
    }

    fn retell(&mut self, event: OrderEvent) {
        if self.sequence.replay(event.position) {
            self.seats.tell(&Arc::new(event));
        }
    }

    fn show_lag(&self, known: i64) {
        if let Some(last) = self.sequence.last() {
            self.lag.set(known.saturating_sub(last).max(0) as f64);
        }
    }

    fn start_over(&mut self) {
        self.sequence = Sequence::default();
        self.seats.start_over();
    }
}
