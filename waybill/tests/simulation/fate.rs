//! What befalls a handler at a failpoint: it goes on, dies there, or stalls and wakes up later.

use futures::future::LocalBoxFuture;
use std::sync::{Arc, Mutex};
use store::failpoint::{Failpoint, Failpoints};
use tokio::sync::{Notify, oneshot};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Crash,
    Stall,
}

#[derive(Default)]
struct Plan {
    /// Failpoints still to be passed, and what befalls the handler then.
    next: Option<(u32, Fate)>,
    resume: Option<oneshot::Sender<()>>,
}

/// Decides at failpoints by a plan made before each step.
#[derive(Clone, Default)]
pub(crate) struct Fates {
    plan: Arc<Mutex<Plan>>,
    struck: Arc<Notify>,
}

/// A handler that has stalled. Dropped, it has died.
pub(crate) struct Stalled {
    work: LocalBoxFuture<'static, ()>,
    resume: oneshot::Sender<()>,
}

impl Fates {
    pub(crate) fn failpoints(&self) -> Failpoints {
        let fates = self.clone();
        Failpoints::new(move |failpoint| {
            let fates = fates.clone();
            Box::pin(async move { fates.reached(failpoint).await })
        })
    }

    /// Runs `work`; the plan may end it early, or leave it stalled.
    pub(crate) async fn run(
        &self,
        plan: Option<(u32, Fate)>,
        mut work: LocalBoxFuture<'static, ()>,
    ) -> Option<Stalled> {
        *self.plan.lock().unwrap() = Plan { next: plan, resume: None };
        let struck = tokio::select! {
            () = &mut work => false,
            () = self.struck.notified() => true,
        };
        let plan = std::mem::take(&mut *self.plan.lock().unwrap());
        plan.resume.filter(|_| struck).map(|resume| Stalled { work, resume })
    }

    async fn reached(&self, failpoint: Failpoint) {
        let (fate, resumed) = {
            let mut plan = self.plan.lock().unwrap();
            match plan.next {
                None => return,
                // Whoever stalls in a transaction keeps SQLite's one writer from all the others: it stalls further on.
                Some((0, Fate::Stall)) if failpoint == Failpoint::ReleaseBeforeCommit => return,
                Some((0, fate)) => {
                    let (resume, resumed) = oneshot::channel();
                    *plan = Plan { next: None, resume: (fate == Fate::Stall).then_some(resume) };
                    (fate, resumed)
                }
                Some((passes, fate)) => {
                    plan.next = Some((passes - 1, fate));
                    return;
                }
            }
        };
        self.struck.notify_one();
        match fate {
            Fate::Crash => std::future::pending().await,
            Fate::Stall => {
                let _ = resumed.await;
            }
        }
    }
}

impl Stalled {
    /// It wakes up and goes on to its end.
    pub(crate) async fn resume(self) {
        let _ = self.resume.send(());
        self.work.await;
    }
}
