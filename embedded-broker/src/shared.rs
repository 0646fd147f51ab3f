//! What a broker, its connections and their deliveries share: the queues behind one lock, and the
//! channels that deliveries leave through.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use bus::clock::Clock;
use bus::message::Message;
use bus::topology::Topology;
use bus::transport::{Delivery, LinkState, Target};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc, watch};

use crate::handle::Handle;
use crate::queues::{Answers, Changes, ConnectionId, ConsumerId, Handout, Limits, Millis, QueueName, Queues};
use crate::writer::Command;

/// How messages move.
#[derive(Debug)]
pub(crate) enum Drive {
    /// By themselves; what must be durable goes through the writer.
    Running(mpsc::Sender<Command>),
    /// Only when told to. Nothing is written down.
    Manual,
}

/// The shared part of a broker.
pub(crate) struct Shared {
    pub(crate) topology: Topology,
    pub(crate) drive: Drive,
    /// Wakes the timer when something is due earlier than it knows.
    pub(crate) due: Notify,
    clock: Arc<dyn Clock>,
    /// Makes names of exclusive queues different from those of earlier runs.
    run_id: String,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) queues: Queues,
    outlets: BTreeMap<ConsumerId, mpsc::Sender<Delivery>>,
    listeners: BTreeMap<QueueName, Listener>,
    links: BTreeMap<ConnectionId, watch::Sender<LinkState>>,
    /// What is to be dropped once the lock is released: dropping a delivery, or the last end of a channel
    /// with one in it, gives the delivery back, which takes the lock.
    leftovers: Leftovers,
    blocked: bool,
    stopped: bool,
    next_due: Option<Millis>,
    last_connection: u64,
    last_exclusive: u64,
}

#[derive(Debug, Default)]
struct Leftovers {
    deliveries: Vec<Delivery>,
    outlets: Vec<mpsc::Sender<Delivery>>,
    listeners: Vec<Listener>,
}

/// Who takes messages from an exclusive queue.
#[derive(Debug)]
pub(crate) enum Listener {
    /// A task that is woken when there may be some.
    Pulling(Arc<Notify>),
    /// A channel that they are put into by hand.
    Waiting(mpsc::Sender<Delivery>),
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("topology", &self.topology).finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn new(topology: Topology, clock: Arc<dyn Clock>, drive: Drive, run_id: String) -> Self {
        let queues = Queues::new(&topology, Limits::default());
        let state = State {
            queues,
            outlets: BTreeMap::new(),
            listeners: BTreeMap::new(),
            links: BTreeMap::new(),
            leftovers: Leftovers::default(),
            blocked: false,
            stopped: false,
            next_due: None,
            last_connection: 0,
            last_exclusive: 0,
        };
        Self { topology, drive, due: Notify::new(), clock, run_id, state: Mutex::new(state) }
    }

    pub(crate) fn now(&self) -> Millis {
        self.clock.now().unix_ms()
    }

    /// Changes the queues, then delivers what that made deliverable.
    pub(crate) fn with<R>(self: &Arc<Self>, change: impl FnOnce(&mut Queues) -> R) -> R {
        self.with_state(|state| change(&mut state.queues))
    }

    pub(crate) fn with_state<R>(self: &Arc<Self>, change: impl FnOnce(&mut State) -> R) -> R {
        let (result, leftovers) = {
            let mut state = self.locked();
            let result = change(&mut state);
            self.deliver(&mut state);
            (result, std::mem::take(&mut state.leftovers))
        };
        drop(leftovers);
        result
    }

    /// Publishes what needs no writing down. Gives the messages back where some do.
    pub(crate) fn publish_now(
        self: &Arc<Self>,
        messages: Vec<(Target, Message)>,
    ) -> Result<Answers, Vec<(Target, Message)>> {
        let now = self.now();
        self.with(|queues| {
            if matches!(self.drive, Drive::Running(_)) && queues.reaches_durable(&messages) {
                return Err(messages);
            }
            let publication = queues.stage_publication(messages, now, &mut Changes::default());
            Ok(queues.commit_publication(publication))
        })
    }

    /// A new connection and what shows how it stands.
    pub(crate) fn connect(self: &Arc<Self>) -> (ConnectionId, watch::Receiver<LinkState>) {
        self.with_state(|state| {
            state.last_connection += 1;
            let id = ConnectionId(state.last_connection);
            let (link, shown) = watch::channel(state.link(id));
            state.links.insert(id, link);
            (id, shown)
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

    /// Ends every connection; there are none from now on.
    pub(crate) fn stop(self: &Arc<Self>) {
        let connections: Vec<ConnectionId> = self.with_state(|state| {
            state.stopped = true;
            state.links.keys().copied().collect()
        });
        for id in connections {
            self.disconnect(id);
        }
    }

    /// A delivery of what was handed out.
    pub(crate) fn delivery(self: &Arc<Self>, handout: Handout) -> Delivery {
        let Handout { tag, message, delivery_count, durable } = handout;
        Delivery::new(message, delivery_count, Box::new(Handle::new(self.clone(), tag, durable)))
    }

    /// Hands out what can be.
    fn deliver(self: &Arc<Self>, state: &mut State) {
        state.show_blocked();
        let next_due = state.queues.next_due();
        let earlier = next_due.is_some_and(|next| state.next_due.is_none_or(|known| next < known));
        state.next_due = next_due;
        if earlier {
            self.due.notify_one();
        }
        if matches!(self.drive, Drive::Running(_)) {
            self.dispatch(state);
        }
    }

    fn dispatch(self: &Arc<Self>, state: &mut State) {
        for name in state.queues.touched() {
            if let Some(Listener::Pulling(wake)) = state.listeners.get(name) {
                wake.notify_one();
            }
        }
        for (consumer, handout) in state.queues.dispatch(self.now()) {
            self.send(state, consumer, handout);
        }
    }

    /// Sends a message to its consumer. Where that has gone the message goes back. Answers whether it was sent.
    pub(crate) fn send(self: &Arc<Self>, state: &mut State, consumer: ConsumerId, handout: Handout) -> bool {
        let delivery = self.delivery(handout);
        let undelivered = match state.outlets.get(&consumer) {
            Some(outlet) => outlet.try_send(delivery).err().map(TrySendError::into_inner),
            None => Some(delivery),
        };
        let Some(undelivered) = undelivered else { return true };
        state.leftovers.deliveries.push(undelivered);
        state.cancel(consumer);
        false
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds this lock")
    }
}

impl State {
    /// Begins to consume a shared queue through this channel.
    pub(crate) fn subscribe(
        &mut self,
        connection: ConnectionId,
        queue: &str,
        prefetch: u16,
        outlet: mpsc::Sender<Delivery>,
    ) -> Option<ConsumerId> {
        let consumer = self.queues.subscribe(connection, queue, prefetch)?;
        self.outlets.insert(consumer, outlet);
        Some(consumer)
    }

    /// Ends a consumer whose receiver has gone.
    pub(crate) fn cancel(&mut self, consumer: ConsumerId) {
        self.queues.cancel(consumer);
        self.leftovers.outlets.extend(self.outlets.remove(&consumer));
    }

    pub(crate) fn listen(&mut self, queue: QueueName, listener: Listener) {
        self.listeners.insert(queue, listener);
    }

    pub(crate) fn listener(&self, queue: &str) -> Option<&Listener> {
        self.listeners.get(queue)
    }

    /// Deletes an exclusive queue that nobody listens to any more.
    pub(crate) fn unlisten(&mut self, queue: &str) {
        self.queues.delete(queue);
        self.leftovers.listeners.extend(self.listeners.remove(queue));
    }

    /// The part of an exclusive queue's name that no other queue has.
    pub(crate) fn fresh_suffix(&mut self, shared: &Shared) -> String {
        self.last_exclusive += 1;
        format!("{}-{}", shared.run_id, self.last_exclusive)
    }

    /// What a crash of the process leaves.
    pub(crate) fn crash(&mut self) {
        self.queues.crash();
        for link in std::mem::take(&mut self.links).into_values() {
            link.send_replace(LinkState::Down("crashed".to_owned()));
        }
        self.remove_orphans();
    }

    /// Takes out the channels of consumers and queues that are gone.
    fn remove_orphans(&mut self) {
        let queues = &self.queues;
        let outlets = self.outlets.extract_if(.., |id, _| !queues.has_consumer(*id));
        self.leftovers.outlets.extend(outlets.map(|(_, outlet)| outlet));
        let listeners = self.listeners.extract_if(.., |name, _| !queues.contains(name));
        self.leftovers.listeners.extend(listeners.map(|(_, listener)| listener));
    }

    fn show_blocked(&mut self) {
        let blocked = self.queues.is_blocked();
        if std::mem::replace(&mut self.blocked, blocked) != blocked {
            tracing::warn!(
                blocked,
                bytes = self.queues.bytes(),
                "publishing is blocked while too much is waiting"
            );
            for (id, link) in &self.links {
                link.send_replace(self.link(*id));
            }
        }
    }

    fn link(&self, ConnectionId(epoch): ConnectionId) -> LinkState {
        if self.stopped {
            LinkState::Down("the broker has stopped".to_owned())
        } else if self.blocked {
            LinkState::Blocked {
                epoch,
                reason: format!("{} bytes of messages are waiting", self.queues.bytes()),
            }
        } else {
            LinkState::Up { epoch }
        }
    }
}
