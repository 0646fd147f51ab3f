//! Updates that several subscribers get alike, because they asked for the same in the same words: the first that comes to
//! one resolves and serialises it, and the others send the same bytes.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use tokio::sync::OwnedMutexGuard;

use crate::auth::{CurrentViewer, Scopes, Viewer};

/// Updates that one operation remembers: subscribers that are further behind resolve theirs themselves.
const RECENT_UPDATES: usize = 32;
/// How long an update is shared: what it shows beside its order may change.
const SHARED_FOR: Duration = Duration::from_secs(5);

/// Identifies an operation in its own words, and for whom it is executed: what it answers depends on nothing else. A
/// cryptographic hash, since one viewer's updates must not reach another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct OperationKey([u8; 32]);

impl OperationKey {
    pub(crate) fn new(
        document: &str,
        operation_name: Option<&str>,
        variables: Option<&RawValue>,
        viewer: Option<&Viewer>,
    ) -> Self {
        let customer_id = viewer.map(|viewer| viewer.customer_id.as_str());
        let scopes = viewer.map(|viewer| viewer.scopes.to_string());
        let parts =
            [Some(document), operation_name, variables.map(RawValue::get), customer_id, scopes.as_deref()];
        let mut hash = Sha256::new();
        for part in parts {
            // Absent differs from empty, and no part runs into the next.
            hash.update(part.map_or(u64::MAX, |part| part.len() as u64).to_le_bytes());
            hash.update(part.unwrap_or_default());
        }
        Self(hash.finalize().into())
    }
}

/// The operations of which updates are shared. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedOperations(Arc<Mutex<HashMap<OperationKey, Weak<RecentUpdates>>>>);

impl SharedOperations {
    /// Joins the subscribers of an operation. A viewer whose scopes become others shares nothing any more.
    pub(crate) fn join(&self, key: OperationKey, viewer: Option<&CurrentViewer>) -> UpdateShare {
        let mut operations = lock(&self.0);
        let recent = operations.get(&key).and_then(Weak::upgrade).unwrap_or_default();
        operations.insert(key, Arc::downgrade(&recent));
        let operations = self.clone();
        let viewer = viewer.map(|viewer| (viewer.clone(), viewer.get().scopes.clone()));
        UpdateShare(Arc::new(Share { operations, key, viewer, recent, turn: Mutex::default() }))
    }
}

/// The newest updates of one operation, by the positions of their events.
#[derive(Debug, Default)]
struct RecentUpdates(Mutex<VecDeque<(i64, Arc<SharedUpdate>)>>);

#[derive(Debug)]
struct SharedUpdate {
    /// None if each subscriber has to resolve the update itself.
    result: OnceLock<Option<Arc<RawValue>>>,
    /// Held by the subscriber that resolves the update.
    resolving: Arc<tokio::sync::Mutex<()>>,
    begun: Instant,
}

impl RecentUpdates {
    /// Returns the update of an event; a new one if no subscriber has come to it yet, or it is too old.
    fn update(&self, position: i64) -> Arc<SharedUpdate> {
        let mut recent = lock(&self.0);
        let known = recent.iter().rev().find(|(known, _)| *known == position);
        if let Some((_, update)) = known.filter(|(_, update)| update.begun.elapsed() < SHARED_FOR) {
            return Arc::clone(update);
        }
        let update = Arc::new(SharedUpdate {
            result: OnceLock::new(),
            resolving: Arc::default(),
            begun: Instant::now(),
        });
        if recent.len() >= RECENT_UPDATES {
            recent.pop_front();
        }
        recent.push_back((position, Arc::clone(&update)));
        update
    }
}

/// One subscriber's share in the updates of its operation. Clones are the same subscriber.
#[derive(Debug, Clone)]
pub(crate) struct UpdateShare(Arc<Share>);

#[derive(Debug)]
struct Share {
    operations: SharedOperations,
    key: OperationKey,
    /// The viewer, and the scopes that the key was made of.
    viewer: Option<(CurrentViewer, Scopes)>,
    recent: Arc<RecentUpdates>,
    turn: Mutex<Option<Turn>>,
}

/// What a subscriber does about an update.
#[derive(Debug)]
pub(crate) enum Turn {
    /// It sends this result.
    Send(Arc<RawValue>),
    /// It resolves the update for the others, which wait.
    Resolve(ResolvingGuard),
}

/// Dropped without a result, it leaves the update to each of the others: they meet the same failure in the same time, not
/// one after the other.
#[derive(Debug)]
pub(crate) struct ResolvingGuard {
    update: Arc<SharedUpdate>,
    _resolving: OwnedMutexGuard<()>,
}

impl ResolvingGuard {
    pub(crate) fn publish(self, result: Arc<RawValue>) {
        // The guard holds the lock, so that no other has set it.
        let _ = self.update.result.set(Some(result));
    }
}

impl Drop for ResolvingGuard {
    fn drop(&mut self) {
        let _ = self.update.result.set(None);
    }
}

impl UpdateShare {
    /// Takes this subscriber's turn at an event's update, for [`UpdateShare::take_turn`]. Returns whether the update is
    /// resolved already. There are no turns for a subscriber that is the only one to ask for the same.
    pub(crate) async fn is_resolved(&self, position: i64) -> bool {
        drop(self.take_turn());
        if Arc::strong_count(&self.0.recent) == 1 || !self.is_current() {
            return false;
        }
        let update = self.0.recent.update(position);
        if update.result.get().is_none() {
            let resolving = Arc::clone(&update.resolving).lock_owned().await;
            if update.result.get().is_none() {
                *lock(&self.0.turn) = Some(Turn::Resolve(ResolvingGuard { update, _resolving: resolving }));
                return false;
            }
        }
        let shared = update.result.get().cloned().flatten();
        let is_resolved = shared.is_some();
        *lock(&self.0.turn) = shared.map(Turn::Send);
        is_resolved
    }

    /// Whether what this subscriber resolves is what the others would.
    pub(crate) fn is_current(&self) -> bool {
        self.0.viewer.as_ref().is_none_or(|(viewer, scopes)| viewer.get().scopes == *scopes)
    }

    /// Takes what [`UpdateShare::is_resolved`] has left for the sender.
    pub(crate) fn take_turn(&self) -> Option<Turn> {
        lock(&self.0.turn).take()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut operations = lock(&self.operations.0);
        if Arc::strong_count(&self.recent) == 1 {
            operations.remove(&self.key);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while holding a lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    fn key(document: &str) -> OperationKey {
        OperationKey::new(document, None, None, None)
    }

    fn result(text: &str) -> Arc<RawValue> {
        Arc::from(RawValue::from_string(text.to_owned()).unwrap())
    }

    async fn resolve(share: &UpdateShare, position: i64) -> ResolvingGuard {
        assert!(!share.is_resolved(position).await);
        match share.take_turn() {
            Some(Turn::Resolve(guard)) => guard,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn the_first_resolves_an_update_and_the_others_send_the_same() {
        let operations = SharedOperations::default();
        let [first, second] = [(); 2].map(|()| operations.join(key("a"), None));
        let guard = resolve(&first, 7).await;
        let waiting = second.is_resolved(7);
        let mut waiting = std::pin::pin!(waiting);
        assert_eq!(waiting.as_mut().now_or_never(), None);
        let shared = result("{\"data\":1}");
        guard.publish(Arc::clone(&shared));
        assert!(waiting.await);
        let Some(Turn::Send(sent)) = second.take_turn() else { panic!("it is resolved") };
        assert!(Arc::ptr_eq(&sent, &shared));
        drop(resolve(&second, 8).await);
    }

    #[tokio::test]
    async fn an_update_that_could_not_be_resolved_is_left_to_each_of_the_others() {
        let operations = SharedOperations::default();
        let [first, second, third] = [(); 3].map(|()| operations.join(key("a"), None));
        let guard = resolve(&first, 7).await;
        let mut waiting = std::pin::pin!(second.is_resolved(7));
        assert_eq!(waiting.as_mut().now_or_never(), None);
        drop(guard);
        assert!(!waiting.await);
        assert!(!third.is_resolved(7).await, "it does not wait for the second");
        assert!(second.take_turn().is_none() && third.take_turn().is_none());
    }

    #[tokio::test]
    async fn no_subscriber_waits_for_another_operation_and_the_last_leaves_nothing() {
        let operations = SharedOperations::default();
        let viewer = |customer: &str| Viewer {
            customer_id: customer.parse().unwrap(),
            scopes: crate::auth::Scopes::default(),
            expires_at: chrono::DateTime::UNIX_EPOCH,
        };
        let keys = [
            key("a"),
            key("b"),
            OperationKey::new("a", Some(""), None, None),
            OperationKey::new("a", None, None, Some(&viewer("CUST01"))),
            OperationKey::new("a", None, None, Some(&viewer("CUST02"))),
        ];
        let shares = keys.map(|key| [(); 2].map(|()| operations.join(key, None)));
        let mut guards = Vec::new();
        for [share, _] in &shares {
            guards.push(resolve(share, 7).await);
        }
        let alone = operations.join(key("alone"), None);
        assert!(!alone.is_resolved(7).await);
        assert!(alone.take_turn().is_none());
        drop((shares, alone, guards));
        assert!(lock(&operations.0).is_empty());
    }
}
