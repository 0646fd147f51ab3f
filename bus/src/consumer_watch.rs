//! Whether a service has a process that consumes its requests, so that a request to a service without one fails at once.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::transport::Transport;

/// How long a reply, or the broker's answer that there is a consumer, holds.
const PRESENT_FOR: Duration = Duration::from_millis(200);
/// How long the broker's answer that there is no consumer holds.
const ABSENT_FOR: Duration = Duration::from_millis(100);
/// How often the broker has to answer that there is no consumer, and the pause in between: a consumer that is begun anew
/// is away for some milliseconds.
const LOOKS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(25);
/// How long the broker may take to answer. After that the request is sent, and its own deadline holds.
const LOOK_LIMIT: Duration = Duration::from_millis(250);

/// Watches one service's queue, only while requests are sent to it and no reply has shown that it is consumed.
#[derive(Debug, Default)]
pub(crate) struct ConsumerWatch {
    last: Mutex<Option<Seen>>,
    looking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone, Copy)]
enum Seen {
    Present(Instant),
    Absent(Instant),
}

impl ConsumerWatch {
    /// Records a reply of the service.
    pub(crate) fn replied(&self) {
        *self.last() = Some(Seen::Present(Instant::now()));
    }

    /// Whether no process consumes the queue. If the broker does not say, one is assumed.
    pub(crate) async fn is_absent(&self, transport: &dyn Transport, queue: &str) -> bool {
        if let Some(known) = self.known() {
            return known;
        }
        // One caller asks for all.
        let _looking = self.looking.lock().await;
        if let Some(known) = self.known() {
            return known;
        }
        let is_absent = no_consumer(transport, queue).await;
        let now = Instant::now();
        *self.last() = Some(if is_absent { Seen::Absent(now) } else { Seen::Present(now) });
        is_absent
    }

    /// Waits until no process consumes the queue.
    pub(crate) async fn absent(&self, transport: &dyn Transport, queue: &str) {
        loop {
            tokio::time::sleep(PRESENT_FOR).await;
            if self.is_absent(transport, queue).await {
                return;
            }
        }
    }

    /// Whether it was absent when last looked at.
    pub(crate) fn was_absent(&self) -> bool {
        matches!(*self.last(), Some(Seen::Absent(_)))
    }

    fn known(&self) -> Option<bool> {
        match *self.last() {
            Some(Seen::Present(at)) if at.elapsed() < PRESENT_FOR => Some(false),
            Some(Seen::Absent(at)) if at.elapsed() < ABSENT_FOR => Some(true),
            _ => None,
        }
    }

    fn last(&self) -> MutexGuard<'_, Option<Seen>> {
        self.last.lock().expect("nothing panics while it holds this lock")
    }
}

async fn no_consumer(transport: &dyn Transport, queue: &str) -> bool {
    for look in 1..=LOOKS {
        match tokio::time::timeout(LOOK_LIMIT, transport.depth(queue)).await {
            Ok(Ok(Some(depth))) if depth.consumers == 0 => {}
            // A queue that does not exist returns the request, which declares it again.
            _ => return false,
        }
        if look < LOOKS {
            tokio::time::sleep(PAUSE).await;
        }
    }
    true
}
