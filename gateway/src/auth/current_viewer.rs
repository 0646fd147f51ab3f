use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::Viewer;

/// The viewer of operations that go on for long, by the newest token that their client has sent. Clones are the same
/// viewer.
#[derive(Clone, Debug)]
pub(crate) struct CurrentViewer(Arc<Current>);

#[derive(Debug)]
struct Current {
    viewer: ArcSwap<Viewer>,
    changed: Notify,
}

impl CurrentViewer {
    pub(crate) fn new(viewer: Viewer) -> Self {
        Self(Arc::new(Current { viewer: ArcSwap::from_pointee(viewer), changed: Notify::new() }))
    }

    pub(crate) fn get(&self) -> Arc<Viewer> {
        self.0.viewer.load_full()
    }

    /// Replaces the viewer by what a later token of the same customer grants.
    pub(crate) fn replace(&self, viewer: Viewer) {
        self.0.viewer.store(Arc::new(viewer));
        self.0.changed.notify_waiters();
    }

    /// Waits until the viewer is another one than `seen`, and returns it.
    pub(crate) async fn changed_from(&self, seen: &Arc<Viewer>) -> Arc<Viewer> {
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            // Before the look, so that no change comes between the two.
            changed.as_mut().enable();
            let viewer = self.get();
            if !Arc::ptr_eq(&viewer, seen) {
                return viewer;
            }
            changed.await;
        }
    }
}
