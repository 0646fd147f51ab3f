//! Plans what happens to a handler at a failpoint: it goes on, crashes, or stalls and resumes later.

use futures::future::LocalBoxFuture;
use std::sync::{Arc, Mutex};
use store::failpoint::{Failpoint, Failpoints};
use tokio::sync::{Notify, oneshot};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Crash,
    Stall,
}

#[derive(Default)]
struct Next {
    /// Failpoints still to be passed, and the fault after them.
    next: Option<(u32, Fault)>,
    resume: Option<oneshot::Sender<()>>,
}

/// Decides at failpoints by a plan made before each step.
#[derive(Clone, Default)]
pub(crate) struct FaultPlan {
    plan: Arc<Mutex<Next>>,
    struck: Arc<Notify>,
}

/// A handler that has stalled; it crashes if dropped.
pub(crate) struct Stalled {
    work: LocalBoxFuture<'static, ()>,
    resume: oneshot::Sender<()>,
}

impl FaultPlan {
    pub(crate) fn failpoints(&self) -> Failpoints {
        let fault_plan = self.clone();
        Failpoints::new(move |failpoint| {
            let fault_plan = fault_plan.clone();
            Box::pin(async move { fault_plan.reached(failpoint).await })
        })
    }

    /// Runs `work`; the plan may end it early, or leave it stalled.
    pub(crate) async fn run(
        &self,
        plan: Option<(u32, Fault)>,
        mut work: LocalBoxFuture<'static, ()>,
    ) -> Option<Stalled> {
        *self.plan.lock().unwrap() = Next { next: plan, resume: None };
        let struck = tokio::select! {
            () = &mut work => false,
            () = self.struck.notified() => true,
        };
        let plan = std::mem::take(&mut *self.plan.lock().unwrap());
        plan.resume.filter(|_| struck).map(|resume| Stalled { work, resume })
    }

    async fn reached(&self, failpoint: Failpoint) {
        let (fault, resumed) = {
            let mut plan = self.plan.lock().unwrap();
            match plan.next {
                None => return,
                // A handler that stalls in a transaction blocks SQLite's one writer for all others: it stalls at the next failpoint.
                Some((0, Fault::Stall)) if failpoint == Failpoint::ReleaseBeforeCommit => return,
                Some((0, fault)) => {
                    let (resume, resumed) = oneshot::channel();
                    *plan = Next { next: None, resume: (fault == Fault::Stall).then_some(resume) };
                    (fault, resumed)
                }
                Some((passes, fault)) => {
                    plan.next = Some((passes - 1, fault));
                    return;
                }
            }
        };
        self.struck.notify_one();
        match fault {
            Fault::Crash => std::future::pending().await,
            Fault::Stall => {
                let _ = resumed.await;
            }
        }
    }
}

impl Stalled {
    /// Resumes the handler and runs it to its end.
    pub(crate) async fn resume(self) {
        let _ = self.resume.send(());
        self.work.await;
    }
}
