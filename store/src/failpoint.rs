//! Places between two effects where a test may crash or stall a process, or count.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;

/// A place where a process can die with one effect done and the next not. Tests of other processes address it by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, strum::Display, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
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
            pass(failpoint.into());
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
