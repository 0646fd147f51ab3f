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
    /// A change of an order is stored, and its asker not told.
    AfterChangeBeforeReply,
    /// Events are numbered, none is published.
    AfterNumberingBeforePublish,
    /// Events are published, none is marked so.
    AfterPublishBeforeMark,
    /// Stock is held, and whoever asked for it not told.
    AfterHoldBeforeReply,
    /// Stock is as events call for, and they are not acknowledged.
    AfterFollowBeforeAck,
    /// Stock is given back, in a transaction that is not committed.
    ReleaseBeforeCommit,
    /// No order comes of a hold, and it is still held.
    AfterVoidBeforeRelease,
}

impl Failpoint {
    /// Every one of them.
    pub const ALL: [Self; 9] = [
        Self::AfterReserveBeforeCommit,
        Self::AfterCommitBeforeAnswer,
        Self::AfterChangeBeforeReply,
        Self::AfterNumberingBeforePublish,
        Self::AfterPublishBeforeMark,
        Self::AfterHoldBeforeReply,
        Self::AfterFollowBeforeAck,
        Self::ReleaseBeforeCommit,
        Self::AfterVoidBeforeRelease,
    ];

    /// What it is called outside of the process.
    pub fn name(self) -> &'static str {
        match self {
            Self::AfterReserveBeforeCommit => "after-reserve-before-commit",
            Self::AfterCommitBeforeAnswer => "after-commit-before-answer",
            Self::AfterChangeBeforeReply => "after-change-before-reply",
            Self::AfterNumberingBeforePublish => "after-numbering-before-publish",
            Self::AfterPublishBeforeMark => "after-publish-before-mark",
            Self::AfterHoldBeforeReply => "after-hold-before-reply",
            Self::AfterFollowBeforeAck => "after-follow-before-ack",
            Self::ReleaseBeforeCommit => "release-before-commit",
            Self::AfterVoidBeforeRelease => "after-void-before-release",
        }
    }
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

    /// Tells `pass` the name of each one.
    pub fn by_name(pass: fn(&str)) -> Self {
        Self::new(move |failpoint| {
            pass(failpoint.name());
            Box::pin(std::future::ready(()))
        })
    }

    /// Passes one.
    pub async fn hit(&self, failpoint: Failpoint) {
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
