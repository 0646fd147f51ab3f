//! How the connection stands, put together from what is known of it.

use std::sync::Mutex;
use tokio::sync::watch;

use crate::transport::Link;

/// What a [`Link`] is made of. The process is up only while it is connected and nothing it declares is refused.
#[derive(Debug)]
pub(super) struct Standing {
    state: Mutex<State>,
    link: watch::Sender<Link>,
}

#[derive(Debug)]
struct State {
    /// The connection's number, or why there is none.
    connection: Result<u64, String>,
    refused: Option<String>,
    blocked: Option<String>,
}

impl State {
    fn link(&self) -> Link {
        match (&self.connection, &self.refused, &self.blocked) {
            (Err(reason), _, _) => Link::Down(reason.clone()),
            (Ok(_), Some(refused), _) => Link::Down(refused.clone()),
            (Ok(epoch), None, Some(reason)) => Link::Blocked { epoch: *epoch, reason: reason.clone() },
            (Ok(epoch), None, None) => Link::Up { epoch: *epoch },
        }
    }
}

impl Standing {
    pub(super) fn new() -> Self {
        let state = State { connection: Err("connecting".to_owned()), refused: None, blocked: None };
        Self { link: watch::Sender::new(state.link()), state: Mutex::new(state) }
    }

    pub(super) fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    pub(super) fn connected(&self, epoch: u64) {
        self.change(|state| state.connection = Ok(epoch));
    }

    pub(super) fn disconnected(&self, reason: &str) {
        self.change(|state| {
            *state = State { connection: Err(reason.to_owned()), refused: None, blocked: None };
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

    pub(super) fn is_refused(&self) -> bool {
        self.locked().refused.is_some()
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
        let link = state.link();
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
