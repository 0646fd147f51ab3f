//! The requests and commands that await their reply.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use tokio::sync::oneshot;
use uuid::Uuid;

use crate::message::Message;

/// Requests of one process that may await their reply at any time; more are refused.
const MAX_IN_FLIGHT: usize = 4_096;

/// The requests that await their reply, by correlation id.
#[derive(Clone, Default)]
pub(crate) struct PendingReplies {
    waiting: Arc<Mutex<HashMap<String, oneshot::Sender<Message>>>>,
    unawaited: Arc<OnceLock<UnawaitedReply>>,
}

/// Takes a reply that no call waits for; returns whether it was of use.
pub(crate) type UnawaitedReply = Box<dyn Fn(&Message) -> bool + Send + Sync>;

impl PendingReplies {
    /// Registers a reply to await. Nothing if too many are awaited already.
    pub(crate) fn expect(&self, id: Uuid) -> Option<PendingReply> {
        let id = id.to_string();
        let (sender, receiver) = oneshot::channel();
        let mut pending = self.locked();
        if pending.len() >= MAX_IN_FLIGHT {
            return None;
        }
        pending.insert(id.clone(), sender);
        Some(PendingReply { id, receiver, pending: self.clone() })
    }

    /// Has all replies that no call waits for passed to `take`. The first one set stays.
    pub(crate) fn on_unawaited(&self, take: UnawaitedReply) {
        let _ = self.unawaited.set(take);
    }

    /// Passes a reply to its request. A reply that nothing waits for is counted and dropped.
    pub(crate) fn deliver(&self, reply: Message) {
        let waiting = reply.correlation_id.as_deref().and_then(|id| self.locked().remove(id));
        let undelivered = match waiting {
            Some(sender) => sender.send(reply).err(),
            None => Some(reply),
        };
        let Some(reply) = undelivered else { return };
        if !self.unawaited.get().is_some_and(|take| take(&reply)) {
            metrics::counter!("waybill_late_replies_total").increment(1);
        }
    }

    /// Gives up every reply: the connection that they would have come over is lost.
    pub(crate) fn clear(&self) {
        self.locked().clear();
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<String, oneshot::Sender<Message>>> {
        self.waiting.lock().expect("nothing panics while it holds this lock")
    }
}

/// One awaited reply; dropped, it is no longer awaited.
pub(crate) struct PendingReply {
    pub(crate) id: String,
    receiver: oneshot::Receiver<Message>,
    pending: PendingReplies,
}

impl PendingReply {
    /// Waits for the reply. Nothing if the connection that it would have come over is lost.
    pub(crate) async fn reply(mut self) -> Option<Message> {
        (&mut self.receiver).await.ok()
    }
}

impl Drop for PendingReply {
    fn drop(&mut self) {
        self.pending.locked().remove(&self.id);
    }
}
