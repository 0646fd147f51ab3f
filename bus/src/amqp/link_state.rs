//! The link state, computed from the connection, refused declarations, blocking and consumers.

use std::collections::BTreeMap;
use std::sync::Mutex;
use tokio::sync::watch;

use crate::transport::{LinkState, TransportError};

/// Tracks what a [`LinkState`] depends on. The link is up only while the process is connected, the broker accepts every
/// declaration, and the process can consume each queue it tries to.
#[derive(Debug)]
pub(super) struct LinkTracker {
    state: Mutex<State>,
    pub(super) link: watch::Sender<LinkState>,
}

#[derive(Debug)]
pub(super) struct State {
    /// The connection's epoch, or why there is no connection.
    pub(super) connection: Result<u64, String>,
    /// The declarations that the broker refuses.
    pub(super) refused: Option<String>,
    /// Why the broker blocks publishers.
    pub(super) blocked: Option<String>,
    /// Why each of these queues can't be consumed.
    unconsumed: BTreeMap<String, String>,
}

impl State {
    fn without_connection(reason: &str) -> Self {
        Self { connection: Err(reason.to_owned()), refused: None, blocked: None, unconsumed: BTreeMap::new() }
    }

    fn link_state(&self) -> LinkState {
        let unconsumed =
            self.unconsumed.iter().map(|(queue, reason)| format!("{queue} can't be consumed: {reason}"));
        let refused: Vec<String> = self.refused.iter().cloned().chain(unconsumed).collect();
        let refused = (!refused.is_empty()).then(|| refused.join("; "));
        match (&self.connection, refused, &self.blocked) {
            (Err(reason), _, _) => LinkState::Down(reason.clone()),
            (Ok(_), Some(refused), _) => LinkState::Down(refused),
            (Ok(epoch), None, Some(reason)) => LinkState::Blocked { epoch: *epoch, reason: reason.clone() },
            (Ok(epoch), None, None) => LinkState::Up { epoch: *epoch },
        }
    }
}

impl LinkTracker {
    pub(super) fn new() -> Self {
        let state = State::without_connection("connecting");
        Self { link: watch::Sender::new(state.link_state()), state: Mutex::new(state) }
    }

    pub(super) fn disconnected(&self, reason: &str) {
        self.change(|state| *state = State::without_connection(reason));
    }

    /// Records why a queue can't be consumed, or that it can. Returns whether that changed.
    pub(super) fn consuming(&self, queue: &str, refused: Option<&TransportError>) -> bool {
        let mut has_changed = false;
        self.change(|state| {
            let reason = refused.map(ToString::to_string);
            has_changed = state.unconsumed.get(queue) != reason.as_ref();
            state.unconsumed.remove(queue);
            state.unconsumed.extend(reason.map(|reason| (queue.to_owned(), reason)));
        });
        has_changed
    }

    pub(super) fn refused(&self) -> Option<String> {
        self.locked().refused.clone()
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.locked().blocked.is_some()
    }

    /// The broker's reason, or a general one if the broker has not given its own yet.
    pub(super) fn blocked_reason(&self) -> String {
        self.locked().blocked.clone().unwrap_or_else(|| "low on resources".to_owned())
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.locked();
        change(&mut state);
        let link = state.link_state();
        self.link.send_if_modified(|current| {
            let modified = *current != link;
            *current = link;
            modified
        });
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds this lock")
    }
}
