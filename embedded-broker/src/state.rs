//! The state that a broker, its connections and their deliveries share: the queues behind one lock, and the channels
//! that deliveries leave through.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bus::clock::Clock;
use bus::message::Message;
use bus::topology::Topology;
use bus::transport::{self, Acknowledge, Acknowledgement, LinkState, PublishError, Target};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::queues::{
    Answers, Changes, ConnectionId, ConsumerId, Delivery, DeliveryTag, Limits, Millis, QueueName, Queues,
};

/// How messages are delivered.
#[derive(Debug)]
pub(crate) enum DispatchMode {
    /// As soon as they can be; durable steps go through the writer.
    Automatic(mpsc::Sender<Command>),
    /// One by one, by a simulation. Nothing is journaled.
    Manual,
}

/// A step that the writer journals before it takes effect.
#[derive(Debug)]
pub(crate) enum Command {
    Publish {
        messages: Vec<(Target, Message)>,
        answer: oneshot::Sender<Answers>,
    },
    Ack {
        tag: DeliveryTag,
        done: oneshot::Sender<()>,
    },
    /// Moves or drops messages past their due time, and answers how many.
    Expire {
        now: Millis,
        done: oneshot::Sender<usize>,
    },
}

pub(crate) struct Shared {
    pub(crate) topology: Topology,
    pub(crate) mode: DispatchMode,
    /// Wakes the timer if a message is due earlier than the timer knows.
    pub(crate) due: Notify,
    clock: Arc<dyn Clock>,
    /// Makes names of exclusive queues different from those of earlier runs.
    run_id: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) queues: Queues,
    delivery_senders: BTreeMap<ConsumerId, mpsc::Sender<transport::Delivery>>,
    pub(crate) exclusive_consumers: BTreeMap<QueueName, ExclusiveConsumer>,
    links: BTreeMap<ConnectionId, watch::Sender<LinkState>>,
    /// Dropped after the lock is released: dropping a delivery, or the last sender of a channel with a delivery in it,
    /// requeues the delivery, which takes the lock.
    deferred_drops: Vec<Box<dyn Any + Send>>,
    blocked: bool,
    journal: JournalState,
    stopped: bool,
    next_due: Option<Millis>,
    last_connection: u64,
    last_exclusive: u64,
}

/// How the journal's last write ended.
#[derive(Debug, Default)]
pub(crate) enum JournalState {
    #[default]
    Written,
    /// It failed, for this reason. The next one is tried.
    Failed(String),
    /// It failed again. Until one succeeds, messages for durable queues are refused untried, so that their publishers know
    /// that nothing was done.
    Unwritable(String),
}

impl JournalState {
    fn reason(&self) -> Option<&String> {
        match self {
            Self::Written => None,
            Self::Failed(reason) | Self::Unwritable(reason) => Some(reason),
        }
    }
}

#[derive(Debug)]
pub(crate) enum ExclusiveConsumer {
    /// A task that is woken if there may be messages.
    Task(Arc<Notify>),
    /// A channel that a simulation fills.
    Manual(mpsc::Sender<transport::Delivery>),
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("topology", &self.topology).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(topology: Topology, clock: Arc<dyn Clock>, mode: DispatchMode, run_id: String) -> Self {
        let queues = Queues::new(&topology, Limits::default());
        let state = Mutex::new(State { queues, ..State::default() });
        Self { topology, mode, due: Notify::new(), clock, run_id, state }
    }

    pub(crate) fn now(&self) -> Millis {
        self.clock.now().unix_ms()
    }

    /// Changes the queues, then delivers the messages that became deliverable.
    pub(crate) fn with<R>(self: &Arc<Self>, change: impl FnOnce(&mut Queues) -> R) -> R {
        self.with_state(|state| change(&mut state.queues))
    }

    pub(crate) fn with_state<R>(self: &Arc<Self>, change: impl FnOnce(&mut State) -> R) -> R {
        let (result, deferred_drops) = {
            let mut state = self.state.lock().expect("nothing panics while it holds this lock");
            let result = change(&mut state);
            self.after_change(&mut state);
            (result, std::mem::take(&mut state.deferred_drops))
        };
        drop(deferred_drops);
        result
    }

    /// Publishes messages that need not be journaled, or refuses those that can't be. Returns the messages unpublished if
    /// they are to be journaled.
    pub(crate) fn publish_now(
        self: &Arc<Self>,
        messages: Vec<(Target, Message)>,
    ) -> Result<Answers, Vec<(Target, Message)>> {
        let now = self.now();
        self.with_state(|State { queues, journal, .. }| {
            if matches!(self.mode, DispatchMode::Automatic(_)) && queues.reaches_durable(&messages) {
                return match journal {
                    JournalState::Unwritable(reason) => {
                        Ok(vec![Err(PublishError::Blocked(reason.clone())); messages.len()])
                    }
                    _ => Err(messages),
                };
            }
            let publication = queues.stage_publication(messages, now, &mut Changes::default());
            Ok(queues.commit_publication(publication))
        })
    }

    pub(crate) fn connect(self: &Arc<Self>) -> (ConnectionId, watch::Receiver<LinkState>) {
        self.with_state(|state| {
            state.last_connection += 1;
            let id = ConnectionId(state.last_connection);
            let (link, receiver) = watch::channel(state.link_state(id));
            state.links.insert(id, link);
            (id, receiver)
        })
    }

    /// Ends a connection; its consumers' channels close.
    pub(crate) fn disconnect(self: &Arc<Self>, id: ConnectionId) {
        self.with_state(|state| {
            state.queues.close_connection(id);
            if let Some(link) = state.links.remove(&id) {
                link.send_replace(LinkState::Down("closed".to_owned()));
            }
            state.remove_orphans();
        });
    }

    /// Ends every connection, and refuses new ones.
    pub(crate) fn stop(self: &Arc<Self>) {
        let connections: Vec<ConnectionId> = self.with_state(|state| {
            state.stopped = true;
            state.links.keys().copied().collect()
        });
        for id in connections {
            self.disconnect(id);
        }
    }

    /// Returns a transport's delivery of a delivered message.
    pub(crate) fn delivery(self: &Arc<Self>, delivery: Delivery) -> transport::Delivery {
        let Delivery { tag, message, delivery_count, durable } = delivery;
        let acker = Acker { shared: self.clone(), tag, durable, acked: false };
        transport::Delivery::new(message, delivery_count, Box::new(acker))
    }

    fn after_change(self: &Arc<Self>, state: &mut State) {
        state.update_blocked();
        let next_due = state.queues.next_due();
        if next_due.is_some_and(|next| state.next_due.is_none_or(|known| next < known)) {
            self.due.notify_one();
        }
        state.next_due = next_due;
        if matches!(self.mode, DispatchMode::Automatic(_)) {
            for name in state.queues.touched() {
                if let Some(ExclusiveConsumer::Task(wake)) = state.exclusive_consumers.get(name) {
                    wake.notify_one();
                }
            }
            for (consumer, delivery) in state.queues.dispatch(self.now()) {
                self.send(state, consumer, delivery);
            }
        }
    }

    /// Sends a delivery to its consumer, or requeues it if the consumer's receiver was dropped. Returns whether it was
    /// sent.
    pub(crate) fn send(
        self: &Arc<Self>,
        state: &mut State,
        consumer: ConsumerId,
        delivery: Delivery,
    ) -> bool {
        let delivery = self.delivery(delivery);
        let unsent = match state.delivery_senders.get(&consumer) {
            Some(sender) => sender.try_send(delivery).err().map(TrySendError::into_inner),
            None => Some(delivery),
        };
        let Some(unsent) = unsent else { return true };
        state.deferred_drops.push(Box::new(unsent));
        state.cancel(consumer);
        false
    }
}

impl State {
    /// Begins to consume a shared queue into this channel.
    pub(crate) fn subscribe(
        &mut self,
        connection: ConnectionId,
        queue: &str,
        prefetch: u16,
        sender: mpsc::Sender<transport::Delivery>,
    ) -> Option<ConsumerId> {
        let consumer = self.queues.subscribe(connection, queue, prefetch)?;
        self.delivery_senders.insert(consumer, sender);
        Some(consumer)
    }

    /// Ends a consumer whose receiver was dropped.
    pub(crate) fn cancel(&mut self, consumer: ConsumerId) {
        self.queues.cancel(consumer);
        self.deferred_drops.push(Box::new(self.delivery_senders.remove(&consumer)));
    }

    /// Deletes an exclusive queue whose receiver was dropped.
    pub(crate) fn delete_exclusive(&mut self, queue: &str) {
        self.queues.delete(queue);
        self.deferred_drops.push(Box::new(self.exclusive_consumers.remove(queue)));
    }

    /// Returns the part of an exclusive queue's name that makes it unique.
    pub(crate) fn unique_suffix(&mut self, shared: &Shared) -> String {
        self.last_exclusive += 1;
        format!("{}-{}", shared.run_id, self.last_exclusive)
    }

    /// Leaves what a crash of the process leaves.
    pub(crate) fn crash(&mut self) {
        self.queues.crash();
        for link in std::mem::take(&mut self.links).into_values() {
            link.send_replace(LinkState::Down("crashed".to_owned()));
        }
        self.remove_orphans();
    }

    /// Removes the channels of consumers and queues that no longer exist.
    fn remove_orphans(&mut self) {
        let queues = &self.queues;
        let senders = self.delivery_senders.extract_if(.., |id, _| !queues.has_consumer(*id));
        self.deferred_drops.push(Box::new(senders.collect::<Vec<_>>()));
        let consumers = self.exclusive_consumers.extract_if(.., |name, _| !queues.contains(name));
        self.deferred_drops.push(Box::new(consumers.collect::<Vec<_>>()));
    }

    fn update_blocked(&mut self) {
        let blocked = self.queues.is_blocked();
        if std::mem::replace(&mut self.blocked, blocked) != blocked {
            let bytes = self.queues.bytes;
            tracing::warn!(blocked, bytes, "publishing was blocked or unblocked by memory use");
            self.tell_connections();
        }
    }

    /// Tells the connections whether the journal's last write succeeded.
    pub(crate) fn set_journal(&mut self, journal: JournalState) {
        let changed = self.journal.reason().is_some() != journal.reason().is_some();
        self.journal = journal;
        if changed {
            self.tell_connections();
        }
    }

    fn tell_connections(&self) {
        for (id, link) in &self.links {
            link.send_replace(self.link_state(*id));
        }
    }

    fn link_state(&self, ConnectionId(epoch): ConnectionId) -> LinkState {
        if self.stopped {
            LinkState::Down("the broker has stopped".to_owned())
        } else if self.blocked {
            let reason = format!("{} bytes of messages are waiting", self.queues.bytes);
            LinkState::Blocked { epoch, reason }
        } else if let Some(reason) = self.journal.reason().cloned() {
            LinkState::Blocked { epoch, reason }
        } else {
            LinkState::Up { epoch }
        }
    }
}

/// Acknowledges one delivery. Dropped unused, it requeues the message at once.
#[derive(Debug)]
struct Acker {
    shared: Arc<Shared>,
    tag: DeliveryTag,
    durable: bool,
    acked: bool,
}

impl Acker {
    async fn ack(mut self: Box<Self>) {
        let shared = self.shared.clone();
        match &shared.mode {
            DispatchMode::Automatic(commands) if self.durable => {
                // If this future is dropped here, or the writer has ended, `drop` requeues the message.
                let Ok(permit) = commands.reserve().await else { return };
                let (done, journaled) = oneshot::channel();
                self.acked = true;
                permit.send(Command::Ack { tag: self.tag, done });
                // Without an answer the broker has stopped, and the message is delivered again.
                let _stopped = journaled.await;
            }
            DispatchMode::Automatic(_) | DispatchMode::Manual => {
                self.acked = true;
                shared.with(|queues| {
                    if queues.stage_ack(self.tag, &mut Changes::default()) {
                        queues.commit_ack(self.tag);
                    }
                });
            }
        }
    }
}

#[async_trait]
impl Acknowledge for Acker {
    async fn acknowledge(self: Box<Self>, acknowledgement: Acknowledgement) {
        match acknowledgement {
            Acknowledgement::Ack => self.ack().await,
            Acknowledgement::Requeue => drop(self),
        }
    }
}

impl Drop for Acker {
    fn drop(&mut self) {
        if !self.acked {
            self.shared.with(|queues| queues.requeue(self.tag));
        }
    }
}
