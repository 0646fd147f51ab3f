//! How the connection stands, put together from what is known of it.

use std::collections::BTreeMap;
use std::sync::Mutex;
use tokio::sync::watch;

use crate::transport::{LinkState, TransportError};

/// What a [`LinkState`] is made of. The process is up only while it is connected, nothing it declares is refused, and it can
/// consume what it wants to.
#[derive(Debug)]
pub(super) struct Standing {
    state: Mutex<State>,
    link: watch::Sender<LinkState>,
}

#[derive(Debug)]
struct State {
    /// The connection's number, or why there is none.
    connection: Result<u64, String>,
    refused: Option<String>,
    blocked: Option<String>,
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

impl Standing {
    pub(super) fn new() -> Self {
        let state = State::without_connection("connecting");
        Self { link: watch::Sender::new(state.link_state()), state: Mutex::new(state) }
    }

    pub(super) fn link_state(&self) -> watch::Receiver<LinkState> {
        self.link.subscribe()
    }

    pub(super) fn connected(&self, epoch: u64) {
        self.change(|state| state.connection = Ok(epoch));
    }

    pub(super) fn disconnected(&self, reason: &str) {
        self.change(|state| {
            *state = State::without_connection(reason);
        });
    }

    /// What the broker refuses to declare, if anything.
    pub(super) fn declared(&self, refused: Option<String>) {
        self.change(|state| state.refused = refused);
    }

    /// Why the broker takes no publishing, if so.
    pub(super) fn blocked(&self, reason: Option<String>) {
        self.change(|state| state.blocked = reason);
    }

    /// Why a queue can't be consumed, if so. Says whether that is news.
    pub(super) fn consuming(&self, queue: &str, refused: Option<&TransportError>) -> bool {
        let mut is_news = false;
        self.change(|state| {
            let reason = refused.map(ToString::to_string);
            is_news = state.unconsumed.get(queue) != reason.as_ref();
            match reason {
                Some(reason) => drop(state.unconsumed.insert(queue.to_owned(), reason)),
                None => drop(state.unconsumed.remove(queue)),
            }
        });
        is_news
    }

    pub(super) fn refused(&self) -> Option<String> {
        self.locked().refused.clone()
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.locked().blocked.is_some()
    }

    /// The broker's words, or our own where it hasn't said them yet.
    pub(super) fn blocked_reason(&self) -> String {
        self.locked().blocked.clone().unwrap_or_else(|| "low on resources".to_owned())
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
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
