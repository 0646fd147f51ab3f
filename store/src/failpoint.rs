//! Places between two effects where a test may crash or stall a process, or count.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

/// A place where a process can die with one effect done and the next not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Failpoint {
    /// Stock is held, the order is not stored.
    AfterReserveBeforeCommit,
    /// The order is stored, its command neither answered nor acknowledged.
    AfterCommitBeforeAnswer,
    /// The change of an order is committed, its request not answered.
    AfterChangeBeforeReply,
    /// Events have positions, none is published.
    AfterNumberingBeforePublish,
    /// Events are published, none is marked as published.
    AfterPublishBeforeMark,
    /// Stock is held, the request for it not answered.
    AfterHoldBeforeReply,
    /// Stock is reconciled with order events, which are not acknowledged.
    AfterFollowBeforeAck,
    /// Stock is released in a transaction that is not committed.
    ReleaseBeforeCommit,
    /// order-service has answered that no order comes of a hold, which is still held.
    AfterVoidBeforeRelease,
}

impl Failpoint {
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

    /// The name by which a test of another process addresses it.
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

/// The hook that runs at failpoints; by default there is none, at the cost of one comparison.
#[derive(Clone, Default)]
pub struct Failpoints(Option<Arc<Hook>>);

impl Failpoints {
    /// Awaits `hook` at each failpoint. If its future never ends, dropping the handler is a crash at that place.
    pub fn new(hook: impl Fn(Failpoint) -> BoxFuture<'static, ()> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hook)))
    }

    /// Calls `pass` with the name of each failpoint.
    pub fn by_name(pass: fn(&str)) -> Self {
        Self::new(move |failpoint| {
            pass(failpoint.name());
            Box::pin(std::future::ready(()))
        })
    }

    /// Runs the hook, if there is one.
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
