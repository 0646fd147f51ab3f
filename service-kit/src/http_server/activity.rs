//! What the client of one connection has under way.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, sleep_until};

use super::ConnectionLimits;

/// Why a connection is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unused {
    /// No request has begun in time.
    NoRequest,
    /// No request has been under way for a while.
    Idle,
    /// The client doesn't read what it has asked for.
    Unread,
}

/// The requests of a connection that are under way, until their responses are taken by the connection.
pub(super) struct Activity(Mutex<State>);

struct State {
    has_requested: bool,
    under_way: usize,
    /// Since when nothing is under way.
    idle_since: Instant,
    /// Responses of which a part was taken, and the next one is not asked for yet.
    unread: usize,
    taken_at: Instant,
}

impl Activity {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self(Mutex::new(State {
            has_requested: false,
            under_way: 0,
            idle_since: now,
            unread: 0,
            taken_at: now,
        }))
    }

    pub(super) fn begin(this: &Arc<Self>) -> UnderWay {
        let mut state = this.state();
        state.has_requested = true;
        state.under_way += 1;
        UnderWay { activity: Arc::clone(this), is_unread: false }
    }

    /// Waits until the connection is not worth keeping.
    pub(super) async fn unused(&self, limits: &ConnectionLimits) -> Unused {
        // What happens meanwhile wakes no one here: it is looked at once the shortest bound may have passed.
        let shortest = limits.first_request.min(limits.keep_alive).min(limits.unread);
        loop {
            let next_look = Instant::now() + shortest;
            let deadline = match self.state().deadline(limits) {
                Some((deadline, reason)) if deadline <= Instant::now() => return reason,
                Some((deadline, _)) => deadline.min(next_look),
                None => next_look,
            };
            sleep_until(deadline).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Until when the connection is kept if nothing happens, and why no longer. None while a request is handled.
    fn deadline(&self, limits: &ConnectionLimits) -> Option<(Instant, Unused)> {
        if self.under_way > 0 && self.unread == 0 {
            return None;
        }
        let (since, limit, reason) = match (self.under_way, self.has_requested) {
            (0, false) => (self.idle_since, limits.first_request, Unused::NoRequest),
            (0, true) => (self.idle_since, limits.keep_alive, Unused::Idle),
            _ => (self.taken_at, limits.unread, Unused::Unread),
        };
        Some((since + limit, reason))
    }
}

/// One request, until its response has been taken or was dropped.
pub(super) struct UnderWay {
    activity: Arc<Activity>,
    is_unread: bool,
}

impl UnderWay {
    pub(super) fn until_read(self, body: Body) -> Body {
        // An empty body is not polled.
        if body.is_end_stream() { body } else { Body::new(TrackedBody { body, under_way: self }) }
    }

    fn set_unread(&mut self, is_unread: bool) {
        let mut state = self.activity.state();
        state.taken_at = Instant::now();
        match (self.is_unread, is_unread) {
            (false, true) => state.unread += 1,
            (true, false) => state.unread -= 1,
            _ => {}
        }
        self.is_unread = is_unread;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.set_unread(false);
        let mut state = self.activity.state();
        state.under_way -= 1;
        state.idle_since = Instant::now();
    }
}

struct TrackedBody {
    body: Body,
    under_way: UnderWay,
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        // A body that has nothing to give is not the client's delay.
        self.under_way.set_unread(matches!(polled, Poll::Ready(Some(_))));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
