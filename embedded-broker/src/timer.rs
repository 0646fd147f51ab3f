//! Sees to messages whose time has come, and to the gauges.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::shared::{Drive, Shared};
use crate::writer::Command;

/// The longest nap: the wall clock may jump.
const NAP_MAX: Duration = Duration::from_secs(1);
/// How old the gauges may be. They are not brought up to date whenever something comes due as well: each request wakes
/// this task while it is in its service's hands, and would show there until the next time.
const GAUGES_EVERY: Duration = Duration::from_secs(1);

/// Runs until stopped.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut nap = Duration::ZERO;
    let mut gauges = tokio::time::interval(GAUGES_EVERY);
    gauges.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = gauges.tick() => record_gauges(&shared),
            () = tokio::time::sleep(nap) => {}
            () = shared.due.notified() => {}
        }
        nap = match until_next_due(&shared) {
            Some(Duration::ZERO) if expire(&shared).await > 0 => Duration::ZERO,
            // What is due and can't move meets a full queue or a full disk.
            Some(Duration::ZERO) | None => NAP_MAX,
            Some(wait) => wait.min(NAP_MAX),
        };
    }
}

fn until_next_due(shared: &Arc<Shared>) -> Option<Duration> {
    let now = shared.now();
    let due = shared.with(|queues| queues.next_due())?;
    Some(Duration::from_millis(u64::try_from(due.saturating_sub(now)).unwrap_or(0)))
}

async fn expire(shared: &Arc<Shared>) -> usize {
    let Drive::Running(commands) = &shared.drive else { return 0 };
    let (done, expired) = oneshot::channel();
    if commands.send(Command::Expire { now: shared.now(), done }).await.is_err() {
        return 0;
    }
    expired.await.unwrap_or(0)
}

fn record_gauges(shared: &Arc<Shared>) {
    let (ready, unsettled, bytes) = shared.with(|queues| {
        let ready: Vec<_> = queues.ready(false).map(|(name, ready)| (name.to_string(), ready)).collect();
        (ready, queues.unsettled(), queues.bytes())
    });
    for (queue, ready) in ready {
        metrics::gauge!("waybill_broker_ready_messages", "queue" => queue).set(ready as f64);
    }
    metrics::gauge!("waybill_broker_unsettled_messages").set(unsettled as f64);
    metrics::gauge!("waybill_broker_bytes").set(bytes as f64);
}
