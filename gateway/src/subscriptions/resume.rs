use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where a subscription begins and where it stands, for transports that carry cursors beside the results. Clones are the
/// same subscription's.
#[derive(Debug, Clone)]
pub(crate) struct ResumePoint(Arc<Point>);

#[derive(Debug)]
struct Point {
    after: Option<String>,
    /// The cursor of the update that is being resolved, or was last.
    reached: Mutex<Option<String>>,
}

impl ResumePoint {
    /// `after` is the cursor of the last update that the client has received; it takes the place of the argument.
    pub(crate) fn new(after: Option<String>) -> Self {
        Self(Arc::new(Point { after, reached: Mutex::default() }))
    }

    pub(crate) fn after(&self) -> Option<&str> {
        self.0.after.as_deref()
    }

    pub(crate) fn reach(&self, cursor: String) {
        *self.reached() = Some(cursor);
    }

    /// Takes the cursor of the newest result; none if that result is no update.
    pub(crate) fn take_reached(&self) -> Option<String> {
        self.reached().take()
    }

    fn reached(&self) -> MutexGuard<'_, Option<String>> {
        self.0.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
