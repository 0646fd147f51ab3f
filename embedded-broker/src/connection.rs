//! One participant's connection.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bus::message::Message;
use bus::topology::Topology;
use bus::transport::{
    Deliveries, Delivery, ExclusiveQueue, LinkState, PeekedMessages, PublishError, QueueDepth, Target,
    Transport, TransportError,
};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::queues::{ConnectionId, Overflow, Queue, QueueName};
use crate::state::{Command, DispatchMode, ExclusiveConsumer, Shared};

/// Messages of an exclusive queue that are sent ahead to its consumer. The rest wait in the queue, where its bound
/// applies.
const IN_FLIGHT_MAX: usize = 16;

/// A connection to a broker in this process. It ends if it is closed or dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
    id: ConnectionId,
    owner: String,
    link: watch::Receiver<LinkState>,
    closed: CancellationToken,
}

impl Connection {
    pub(crate) fn open(shared: Arc<Shared>, owner: &str) -> Self {
        let (id, link) = shared.connect();
        Self { shared, id, owner: owner.to_owned(), link, closed: CancellationToken::new() }
    }

    fn is_closed(&self) -> bool {
        matches!(*self.link.borrow(), LinkState::Down(_))
    }

    fn ensure_open(&self) -> Result<(), TransportError> {
        if self.is_closed() { Err(TransportError::Disconnected) } else { Ok(()) }
    }

    fn end(&self) {
        self.closed.cancel();
        self.shared.disconnect(self.id);
    }

    /// Runs a consumer's task until the connection ends.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let (closed, mut link) = (self.closed.clone(), self.link.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = task => {}
                () = closed.cancelled() => {}
                // The broker itself may end the connection.
                _ = link.wait_for(|link| matches!(link, LinkState::Down(_))) => {}
            }
        });
    }
}

/// Sends the messages of an exclusive queue to its consumer until the receiver is dropped.
async fn forward_all(
    shared: &Arc<Shared>,
    queue: &QueueName,
    wake: &Notify,
    sender: &mpsc::Sender<Delivery>,
) {
    while let Ok(permit) = sender.reserve().await {
        let message = loop {
            let now = shared.now();
            if let Some(message) = shared.with(|queues| queues.pop(queue, 0, now)) {
                break message;
            }
            tokio::select! {
                () = wake.notified() => {}
                () = sender.closed() => return,
            }
        };
        permit.send(Delivery::auto_acked(message));
    }
}

#[async_trait]
impl Transport for Connection {
    fn topology(&self) -> &Topology {
        &self.shared.topology
    }

    fn owner(&self) -> &str {
        &self.owner
    }

    fn link_state(&self) -> watch::Receiver<LinkState> {
        self.link.clone()
    }

    async fn publish(
        &self,
        messages: Vec<(Target, Message)>,
        limit: Duration,
    ) -> Vec<Result<(), PublishError>> {
        let count = messages.len();
        let all = |error: PublishError| vec![Err(error); count];
        if self.is_closed() {
            return all(PublishError::Disconnected);
        }
        let messages = match self.shared.publish_now(messages) {
            Ok(answers) => return answers,
            Err(messages) => messages,
        };
        let DispatchMode::Automatic(commands) = &self.shared.mode else {
            return all(PublishError::Disconnected);
        };
        let mut sent = false;
        let publishing = async {
            let Ok(permit) = commands.reserve().await else { return all(PublishError::Disconnected) };
            let (answer, answered) = oneshot::channel();
            permit.send(Command::Publish { messages, answer });
            sent = true;
            answered.await.unwrap_or_else(|_| all(PublishError::Unknown("the broker has stopped".to_owned())))
        };
        match tokio::time::timeout(limit, publishing).await {
            Ok(answers) => answers,
            Err(_) if sent => all(PublishError::Unknown(format!("not confirmed within {limit:?}"))),
            Err(_) => all(PublishError::WindowFull),
        }
    }

    async fn publish_unconfirmed(&self, target: Target, message: Message) -> Result<(), PublishError> {
        if self.is_closed() {
            return Err(PublishError::Disconnected);
        }
        let Err(messages) = self.shared.publish_now(vec![(target, message)]) else { return Ok(()) };
        let DispatchMode::Automatic(commands) = &self.shared.mode else {
            return Err(PublishError::Disconnected);
        };
        let (answer, _ignored) = oneshot::channel();
        let sent = commands.send(Command::Publish { messages, answer }).await;
        sent.map_err(|_stopped| PublishError::Disconnected)
    }

    async fn consume(&self, queue: &str, prefetch: u16) -> Result<Deliveries, TransportError> {
        self.ensure_open()?;
        let prefetch = prefetch.max(1);
        let (sender, deliveries) = mpsc::channel(prefetch.into());
        let consumer =
            self.shared.with_state(|state| state.subscribe(self.id, queue, prefetch, sender.clone()));
        let consumer =
            consumer.ok_or_else(|| TransportError::Refused(format!("there is no shared queue {queue}")))?;
        if matches!(self.shared.mode, DispatchMode::Automatic(_)) {
            let shared = self.shared.clone();
            self.spawn(async move {
                sender.closed().await;
                shared.with_state(|state| state.cancel(consumer));
            });
        }
        Ok(deliveries)
    }

    async fn consume_exclusive(&self, queue: ExclusiveQueue) -> Result<(String, Deliveries), TransportError> {
        self.ensure_open()?;
        let ExclusiveQueue { purpose, event_bindings, max_length } = queue;
        // Missed events are replayed, so a full queue keeps the newest; replies go to the earliest requests.
        let overflow = if event_bindings.is_empty() { Overflow::Reject } else { Overflow::DropHead };
        let queue = Queue::exclusive(self.id, event_bindings, max_length, overflow);
        let (sender, deliveries) = mpsc::channel(IN_FLIGHT_MAX);
        let wake = Arc::new(Notify::new());
        let consumer = match self.shared.mode {
            DispatchMode::Automatic(_) => ExclusiveConsumer::Task(wake.clone()),
            DispatchMode::Manual => ExclusiveConsumer::Manual(sender.clone()),
        };
        let name: QueueName = self.shared.with_state(|state| {
            let suffix = state.unique_suffix(&self.shared);
            let name = QueueName::from(self.shared.topology.exclusive(&self.owner, &suffix, purpose));
            state.queues.declare_exclusive(name.clone(), queue);
            state.exclusive_consumers.insert(name.clone(), consumer);
            name
        });
        if matches!(self.shared.mode, DispatchMode::Automatic(_)) {
            let (shared, queue) = (self.shared.clone(), name.clone());
            self.spawn(async move {
                forward_all(&shared, &queue, &wake, &sender).await;
                shared.with_state(|state| state.delete_exclusive(&queue));
            });
        }
        Ok((name.to_string(), deliveries))
    }

    async fn peek(&self, queue: &str, limit: u32) -> Result<PeekedMessages, TransportError> {
        self.ensure_open()?;
        let now = self.shared.now();
        let peeked = self.shared.with(|queues| {
            queues.contains(queue).then(|| {
                let next = || queues.get(queue, 0, Some(self.id), now);
                std::iter::from_fn(next).take(limit as usize).collect::<Vec<_>>()
            })
        });
        let peeked = peeked.ok_or_else(|| TransportError::Refused(format!("there is no queue {queue}")))?;
        Ok(peeked.into_iter().map(|delivery| self.shared.delivery(delivery)).collect())
    }

    async fn depth(&self, queue: &str) -> Result<Option<QueueDepth>, TransportError> {
        self.ensure_open()?;
        let depth = self.shared.with(|queues| queues.depth(queue));
        Ok(depth.map(|(ready, consumers)| QueueDepth {
            ready: ready as u64,
            consumers: u32::try_from(consumers).unwrap_or(u32::MAX),
        }))
    }

    /// Does nothing: the broker always has the queues of its topology.
    async fn declare(&self) -> Result<(), TransportError> {
        self.ensure_open()
    }

    async fn close(&self) {
        self.end();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.end();
    }
}
