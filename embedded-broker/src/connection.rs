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

use crate::queues::{ConnectionId, ConsumerId, Overflow, Queue, QueueName};
use crate::shared::{Drive, Listener, Shared};
use crate::writer::Command;

/// Messages of an exclusive queue on their way to their consumer. The rest wait in the queue, where its
/// bound applies.
const IN_FLIGHT_MAX: usize = 16;

/// A connection to a broker in this process. It ends when it is closed or dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    shared: Arc<Shared>,
    id: ConnectionId,
    owner: String,
    link: watch::Receiver<LinkState>,
    gone: CancellationToken,
}

impl Connection {
    pub(crate) fn open(shared: Arc<Shared>, owner: &str) -> Self {
        let (id, link) = shared.connect();
        Self { shared, id, owner: owner.to_owned(), link, gone: CancellationToken::new() }
    }

    fn is_closed(&self) -> bool {
        matches!(*self.link.borrow(), LinkState::Down(_))
    }

    fn ensure_open(&self) -> Result<(), TransportError> {
        if self.is_closed() { Err(TransportError::Disconnected) } else { Ok(()) }
    }

    fn end(&self) {
        self.gone.cancel();
        self.shared.disconnect(self.id);
    }

    /// Ends the consumer once its receiver is dropped.
    fn watch_consumer(&self, consumer: ConsumerId, outlet: mpsc::Sender<Delivery>) {
        let (shared, gone) = (self.shared.clone(), self.gone.clone());
        let mut link = self.link.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = outlet.closed() => shared.with_state(|state| state.cancel(consumer)),
                () = gone.cancelled() => {}
                // The broker itself may end the connection.
                _ = link.wait_for(|link| matches!(link, LinkState::Down(_))) => {}
            }
        });
    }

    /// Takes messages out of an exclusive queue as fast as its consumer does.
    fn forward(&self, queue: QueueName, wake: Arc<Notify>, outlet: mpsc::Sender<Delivery>) {
        let (shared, gone) = (self.shared.clone(), self.gone.clone());
        let mut link = self.link.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = forward_all(&shared, &queue, &wake, &outlet) => {
                    shared.with_state(|state| state.unlisten(&queue));
                }
                () = gone.cancelled() => {}
                _ = link.wait_for(|link| matches!(link, LinkState::Down(_))) => {}
            }
        });
    }
}

/// Forwards until the receiver is dropped.
async fn forward_all(
    shared: &Arc<Shared>,
    queue: &QueueName,
    wake: &Notify,
    outlet: &mpsc::Sender<Delivery>,
) {
    while let Ok(place) = outlet.reserve().await {
        let message = loop {
            let now = shared.now();
            if let Some(message) = shared.with(|queues| queues.pull(queue, 0, now)) {
                break message;
            }
            tokio::select! {
                () = wake.notified() => {}
                () = outlet.closed() => return,
            }
        };
        place.send(Delivery::settled(message));
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
        let Drive::Running(commands) = &self.shared.drive else { return all(PublishError::Disconnected) };
        let mut sent = false;
        let publishing = async {
            let Ok(place) = commands.reserve().await else { return all(PublishError::Disconnected) };
            let (answer, answered) = oneshot::channel();
            place.send(Command::Publish { messages, answer });
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
        let Drive::Running(commands) = &self.shared.drive else { return Err(PublishError::Disconnected) };
        let (answer, _nobody_waits) = oneshot::channel();
        let posted = commands.send(Command::Publish { messages, answer }).await;
        posted.map_err(|_stopped| PublishError::Disconnected)
    }

    async fn consume(&self, queue: &str, prefetch: u16) -> Result<Deliveries, TransportError> {
        self.ensure_open()?;
        let prefetch = prefetch.max(1);
        let (outlet, deliveries) = mpsc::channel(prefetch.into());
        let consumer =
            self.shared.with_state(|state| state.subscribe(self.id, queue, prefetch, outlet.clone()));
        let consumer =
            consumer.ok_or_else(|| TransportError::Refused(format!("there is no shared queue {queue}")))?;
        if matches!(self.shared.drive, Drive::Running(_)) {
            self.watch_consumer(consumer, outlet);
        }
        Ok(deliveries)
    }

    async fn consume_exclusive(&self, queue: ExclusiveQueue) -> Result<(String, Deliveries), TransportError> {
        self.ensure_open()?;
        let ExclusiveQueue { purpose, event_bindings, max_length } = queue;
        // Missed events are replayed, so the newest are worth most; replies belong to whoever asked first.
        let overflow = if event_bindings.is_empty() { Overflow::Reject } else { Overflow::DropHead };
        let queue = Queue::exclusive(self.id, event_bindings, max_length, overflow);
        let (outlet, deliveries) = mpsc::channel(IN_FLIGHT_MAX);
        let wake = Arc::new(Notify::new());
        let listener = match self.shared.drive {
            Drive::Running(_) => Listener::Pulling(wake.clone()),
            Drive::Manual => Listener::Waiting(outlet.clone()),
        };
        let name: QueueName = self.shared.with_state(|state| {
            let suffix = state.fresh_suffix(&self.shared);
            let name = QueueName::from(self.shared.topology.exclusive(&self.owner, &suffix, purpose));
            state.queues.declare_exclusive(name.clone(), queue);
            state.listen(name.clone(), listener);
            name
        });
        if matches!(self.shared.drive, Drive::Running(_)) {
            self.forward(name.clone(), wake, outlet);
        }
        Ok((name.to_string(), deliveries))
    }

    async fn peek(&self, queue: &str, limit: u32) -> Result<PeekedMessages, TransportError> {
        self.ensure_open()?;
        let now = self.shared.now();
        let handouts = self.shared.with(|queues| {
            queues.contains(queue).then(|| {
                let next = || queues.take(queue, 0, Some(self.id), now);
                std::iter::from_fn(next).take(limit as usize).collect::<Vec<_>>()
            })
        });
        let handouts =
            handouts.ok_or_else(|| TransportError::Refused(format!("there is no queue {queue}")))?;
        Ok(handouts.into_iter().map(|handout| self.shared.delivery(handout)).collect())
    }

    async fn depth(&self, queue: &str) -> Result<Option<QueueDepth>, TransportError> {
        self.ensure_open()?;
        let depth = self.shared.with(|queues| queues.depth(queue));
        Ok(depth.map(|(ready, consumers)| QueueDepth {
            ready: ready as u64,
            consumers: u32::try_from(consumers).unwrap_or(u32::MAX),
        }))
    }

    /// The queues are those of the topology, always.
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
