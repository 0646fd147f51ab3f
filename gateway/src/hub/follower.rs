use schema::order_events::OrderEvent;
use schema::order_messages::{ReplayFrom, Replayed};
use std::collections::VecDeque;
use std::sync::Arc;

use super::HubSettings;
use super::interest::Interest;
use super::replay::{ReplayError, replay};
use super::seats::{Lost, NoSeat, Seat, Seats};
use crate::orders::Backend;

/// Events in one page of a subscriber's own replay: what it may hold in memory beside its seat.
const PAGE: u32 = 50;

/// Why nothing can be followed, or not any further.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum FollowError {
    /// The hub doesn't know yet where "now" is.
    #[error("the head of the order events is not known yet")]
    NotReady,
    /// As many follow as are allowed to.
    #[error("too many subscribers")]
    TooMany,
    /// What came before could not be replayed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The events that were followed have begun anew; only a cursor can tell where to go on.
    #[error("the order events have begun anew")]
    StartedOver,
}

/// One subscriber's way through the events: each that it is interested in once, in order.
///
/// It hears from a seat where it has one that starts no later than what it has considered, and replays otherwise. The
/// seat is taken when replay is at the head, and replay goes on until it has met the seat, so between the two nothing
/// is lost; what both bring is taken once.
pub(crate) struct Follower {
    seats: Arc<Seats>,
    settings: HubSettings,
    interest: Interest,
    backend: Backend,
    /// Everything up to this position was handed on or is of no interest.
    considered: i64,
    replayed: VecDeque<Arc<OrderEvent>>,
    seat: Option<Seat>,
}

impl Follower {
    pub(super) async fn start(
        seats: Arc<Seats>,
        settings: HubSettings,
        interest: Interest,
        after: Option<String>,
        backend: Backend,
    ) -> Result<Self, FollowError> {
        let seat = seats.take(interest.topic())?;
        let considered = seat.position();
        let replayed = VecDeque::new();
        let mut follower =
            Self { seats, settings, interest, backend, considered, replayed, seat: Some(seat) };
        if let Some(cursor) = after {
            let page = follower.page_after(ReplayFrom::Cursor(cursor)).await?;
            follower.considered = i64::MIN;
            follower.turn(page);
        }
        Ok(follower)
    }

    /// The next event of interest, once there is one. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Arc<OrderEvent>, FollowError> {
        loop {
            if let Some(event) = self.replayed.pop_front() {
                return Ok(event);
            }
            match &mut self.seat {
                Some(seat) if seat.position() <= self.considered => match seat.next().await {
                    Ok(event) => {
                        if let Some(event) = self.consider(event) {
                            return Ok(event);
                        }
                    }
                    Err(Lost::After(position)) => {
                        self.considered = self.considered.max(position);
                        self.seat = None;
                    }
                    Err(Lost::StartedOver) => return Err(FollowError::StartedOver),
                },
                _ => self.replay_on().await?,
            }
        }
    }

    /// Replays one page, with patience; takes a seat when it is at the head.
    async fn replay_on(&mut self) -> Result<(), FollowError> {
        let mut failures = 0;
        loop {
            let error = match self.page_after(ReplayFrom::Position(self.considered)).await {
                Ok(page) if page.head < self.considered => return Err(FollowError::StartedOver),
                Ok(page) if page.next > self.considered || page.next >= page.head => {
                    let at_head = page.next >= page.head;
                    self.turn(page);
                    let met = self.seat.as_ref().is_none_or(|seat| seat.position() <= self.considered);
                    if at_head && self.seat.is_none() {
                        self.seat = Some(self.seats.take(self.interest.topic())?);
                    }
                    if !at_head || met {
                        return Ok(());
                    }
                    // The replica that answered has yet to learn what the hub was told of.
                    ReplayError::Stuck
                }
                Ok(_) => ReplayError::Stuck,
                Err(error @ ReplayError::Refused(_)) => return Err(error.into()),
                Err(error) => error,
            };
            failures += 1;
            if failures > self.settings.follower_patience {
                return Err(error.into());
            }
            tracing::debug!(%error, failures, "a subscriber's replay is tried again");
            tokio::time::sleep(self.settings.backoff.pause(failures)).await;
        }
    }

    async fn page_after(&self, after: ReplayFrom) -> Result<Replayed, ReplayError> {
        let (reach, order_id) = (self.interest.reach(), self.interest.order_id());
        replay(&self.backend, reach, order_id, Some(after), PAGE).await
    }

    fn turn(&mut self, page: Replayed) {
        for event in page.events {
            let event = self.consider(Arc::new(event));
            self.replayed.extend(event);
        }
        self.considered = self.considered.max(page.next);
    }

    /// The event, if it is new and of interest. Considered it is in any case.
    fn consider(&mut self, event: Arc<OrderEvent>) -> Option<Arc<OrderEvent>> {
        if event.position <= self.considered {
            return None;
        }
        self.considered = event.position;
        self.interest.includes(&event).then_some(event)
    }
}

impl From<NoSeat> for FollowError {
    fn from(no_seat: NoSeat) -> Self {
        match no_seat {
            NoSeat::UnknownPosition => Self::NotReady,
            NoSeat::Full => Self::TooMany,
        }
    }
}
