//! Places between two effects where a test may crash, stall or count.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

/// Where a process can die with one effect done and the next not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Failpoint {
    /// Stock is held, the order is not stored.
    AfterReserveBeforeCommit,
    /// The order is stored, nobody was answered and nothing acknowledged.
    AfterCommitBeforeAnswer,
    /// Events are numbered, none is published.
    AfterNumberingBeforePublish,
    /// Events are published, none is marked so.
    AfterPublishBeforeMark,
}

impl Failpoint {
    /// Every one of them.
    pub const ALL: [Self; 4] = [
        Self::AfterReserveBeforeCommit,
        Self::AfterCommitBeforeAnswer,
        Self::AfterNumberingBeforePublish,
        Self::AfterPublishBeforeMark,
    ];
}

type Hook = dyn Fn(Failpoint) -> BoxFuture<'static, ()> + Send + Sync;

/// What happens at failpoints: by default nothing, at the cost of one comparison.
#[derive(Clone, Default)]
pub struct Failpoints(Option<Arc<Hook>>);

impl Failpoints {
    /// Awaits `hook` at each one. A future that never ends is a crash to whoever then drops the handler.
    pub fn new(hook: impl Fn(Failpoint) -> BoxFuture<'static, ()> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }

    /// Passes one.
    pub async fn reach(&self, failpoint: Failpoint) {
        if let Some(hook) = &self.0 {
            hook(failpoint).await;
        }
    }
}

impl fmt::Debug for Failpoints {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Failpoints").field(&self.0.is_some()).finish()
    }
}
