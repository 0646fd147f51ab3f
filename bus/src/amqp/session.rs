//! A session: two connections and the tasks that run on them; and the supervisor that opens a session, watches it and opens
//! the next one after it is lost.

use futures::StreamExt as _;
use lapin::options::{BasicGetOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Event};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::acks::Acks;
use super::brokers::{Broker, Brokers};
use super::channel::{bounded, is_not_found};
use super::connection::Connection;
use super::declare::Declarer;
use super::link_state::LinkTracker;
use super::publisher::{Confirms, Publisher};
use super::{consumer, properties};
use crate::backoff::Backoff;
use crate::heartbeat::Heartbeat;
use crate::topology::Topology;
use crate::transport::{Deliveries, ExclusiveQueue, PeekedMessages, QueueDepth, TransportError};

/// The pauses between attempts to connect. The limit is how long a caller may have to wait once a broker that was away
/// is back.
const RECONNECT: Backoff = Backoff { first: Duration::from_millis(100), limit: Duration::from_secs(2) };
/// How the broker's refusal begins if a queue or exchange does not exist.
const NOT_FOUND: &str = "NOT_FOUND";
/// How often a refused declaration is tried again, and the connections are checked.
const CHECK_EVERY: Duration = Duration::from_secs(2);

/// Two connections: a broker that is short of memory stops reading from connections that publish, so acknowledgements use
/// the other one. If one is lost, both are closed: replies come over one to requests that left over the other.
pub(super) struct Session {
    pub(super) publishing: Arc<Connection>,
    consuming: Arc<Connection>,
    pub(super) declarer: Arc<Declarer>,
    pub(super) confirmed: Publisher,
    pub(super) unconfirmed: Publisher,
    /// The channel that depths are asked on.
    depths: Mutex<Option<Channel>>,
    link: Arc<LinkTracker>,
    pipelines: TaskTracker,
    lost: CancellationToken,
}

impl Session {
    /// Opens a session and declares the topology, except what the broker refuses.
    async fn open(supervisor: &Supervisor, broker: &Broker) -> Result<Self, String> {
        let Supervisor { owner, topology, link, .. } = supervisor;
        let (publishing, consuming) =
            tokio::try_join!(Connection::open(broker, owner), Connection::open(broker, owner))?;
        let (publishing, consuming) = (Arc::new(publishing), Arc::new(consuming));
        let declarer =
            Arc::new(Declarer::new(Arc::clone(&consuming), Arc::clone(topology), Arc::clone(link)));
        let lost = CancellationToken::new();
        let pipelines = TaskTracker::new();
        let publisher = |confirms| {
            let (publishing, declarer) = (Arc::clone(&publishing), Arc::clone(&declarer));
            let (publisher, task) = Publisher::new(publishing, declarer, confirms, lost.clone());
            pipelines.spawn(task);
            publisher
        };
        let confirmed = publisher(Confirms::Awaited);
        let unconfirmed = publisher(Confirms::None);
        pipelines.close();
        let link = Arc::clone(link);
        let depths = Mutex::default();
        let session =
            Self { publishing, consuming, declarer, confirmed, unconfirmed, depths, link, pipelines, lost };
        match session.declarer.declare().await {
            Ok(()) | Err(TransportError::Refused(_)) => Ok(session),
            Err(error) => {
                session.end().await;
                Err(error.to_string())
            }
        }
    }

    fn is_open(&self) -> bool {
        self.publishing.is_open() && self.consuming.is_open()
    }

    /// Answers the messages that are still being published, ends the consumers, and closes both connections.
    async fn end(&self) {
        self.lost.cancel();
        self.pipelines.wait().await;
        tokio::join!(self.publishing.close(), self.consuming.close());
    }

    pub(super) async fn consume(&self, queue: &str, prefetch: u16) -> Result<Deliveries, TransportError> {
        let consume = || consumer::shared(&self.consuming, &self.declarer, &self.lost, queue, prefetch);
        let mut outcome = match consume().await {
            Err(refusal) if self.declared_again(queue, &refusal).await => consume().await,
            outcome => outcome,
        };
        if outcome.is_ok() {
            outcome = self.declarer.verify(queue).await.and(outcome);
        }
        self.record(queue, &outcome);
        outcome
    }

    pub(super) async fn consume_exclusive(
        &self,
        name: &str,
        exchange: &str,
        queue: &ExclusiveQueue,
    ) -> Result<Deliveries, TransportError> {
        let (connection, lost) = (&self.consuming, &self.lost);
        let consume = || consumer::exclusive(connection, &self.declarer, lost, name, exchange, queue);
        let mut outcome = consume().await;
        // The exchange that it is bound to may have been deleted.
        if let Err(TransportError::Refused(refusal)) = &outcome
            && refusal.starts_with(NOT_FOUND)
        {
            let healed = self.declarer.declare_after(Instant::now()).await;
            tracing::debug!(%refusal, ?healed, "the topology was declared after an exclusive queue was refused");
            if healed.is_ok() {
                outcome = consume().await;
            }
        }
        // Its name differs each time, so the link state tracks the purpose.
        self.record(queue.purpose, &outcome);
        outcome
    }

    /// Records in the link state whether the queue could be consumed.
    fn record(&self, queue: &str, outcome: &Result<Deliveries, TransportError>) {
        let refused = outcome.as_ref().err().filter(|error| **error != TransportError::Disconnected);
        if self.link.consuming(queue, refused)
            && let Some(error) = refused
        {
            tracing::warn!(queue, %error, "a queue can't be consumed");
        }
    }

    pub(super) async fn peek(&self, queue: &str, limit: u32) -> Result<PeekedMessages, TransportError> {
        match self.get(queue, limit).await {
            Err(refusal) if self.declared_again(queue, &refusal).await => self.get(queue, limit).await,
            outcome => outcome,
        }
    }

    async fn get(&self, queue: &str, limit: u32) -> Result<PeekedMessages, TransportError> {
        let channel = self.consuming.channel().await?;
        let acks = Acks::new(channel.clone());
        let mut peeked = PeekedMessages::new();
        while peeked.len() < limit as usize {
            let getting = channel.basic_get(queue.into(), BasicGetOptions::default());
            let Some(got) = bounded(getting).await? else { break };
            let mut delivery = acks.delivery(got.delivery);
            properties::describe_dead_letter(&mut delivery.message);
            peeked.push(delivery);
        }
        Ok(peeked)
    }

    /// Asks on a channel that is kept: clients ask before they send to a service that has been silent.
    pub(super) async fn depth(&self, queue: &str) -> Result<Option<QueueDepth>, TransportError> {
        let mut kept = self.depths.lock().await;
        let channel = match kept.take().filter(|channel| channel.status().connected()) {
            Some(channel) => channel,
            None => self.consuming.channel().await?,
        };
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declaring = channel.queue_declare(queue.into(), options, FieldTable::default());
        let declared = bounded(async {
            match declaring.await {
                Err(error) if is_not_found(&error) => Ok(None),
                answer => answer.map(Some),
            }
        });
        // The broker has closed the channel on which it did not find the queue.
        let Some(declared) = declared.await? else { return Ok(None) };
        *kept = Some(channel);
        Ok(Some(QueueDepth {
            ready: u64::from(declared.message_count()),
            consumers: declared.consumer_count(),
        }))
    }

    /// Declares a refused queue of the topology, which may have been deleted, again. Returns whether to try again.
    async fn declared_again(&self, queue: &str, refusal: &TransportError) -> bool {
        matches!(refusal, TransportError::Refused(_))
            && self.declarer.owns(queue)
            && self.declarer.declare_after(Instant::now()).await.is_ok()
    }
}

/// Keeps a session open: connects without end, and updates the link state.
pub(super) struct Supervisor {
    pub(super) brokers: Brokers,
    pub(super) owner: String,
    pub(super) topology: Arc<Topology>,
    pub(super) link: Arc<LinkTracker>,
    pub(super) session: watch::Sender<Option<Arc<Session>>>,
    pub(super) heartbeat: Heartbeat,
}

impl Supervisor {
    /// Runs until `stop`, and closes the connections.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut epoch = 0;
        let mut failures = 0;
        while !stop.is_cancelled() {
            // Each of its many steps has a bound of its own.
            let broker = self.brokers.current();
            let opening = self.heartbeat.while_waiting(Session::open(&self, &broker));
            let reason = match stop.run_until_cancelled(Box::pin(opening)).await {
                None => break,
                Some(Ok(session)) => {
                    epoch += 1;
                    failures = 0;
                    self.keep(session, epoch, &stop).await
                }
                Some(Err(reason)) => reason,
            };
            self.link.disconnected(&reason);
            if stop.is_cancelled() {
                break;
            }
            tracing::warn!(broker = broker.name, %reason, "no connection to the broker");
            self.heartbeat.beat();
            if self.brokers.next() {
                failures += 1;
                stop.run_until_cancelled(tokio::time::sleep(RECONNECT.pause(failures))).await;
            }
        }
        self.link.disconnected("closed");
    }

    /// Publishes the session to its users until it is lost or `stop`. Returns why it ended.
    async fn keep(&self, session: Session, epoch: u64, stop: &CancellationToken) -> String {
        let session = Arc::new(session);
        metrics::counter!("waybill_broker_connects_total").increment(1);
        self.session.send_replace(Some(Arc::clone(&session)));
        self.link.change(|state| state.connection = Ok(epoch));
        tracing::info!(epoch, broker = self.brokers.current().name, "connected to the broker");
        let watching = self.watch(&session);
        let reason = stop.run_until_cancelled(watching).await.unwrap_or_else(|| "closed".to_owned());
        self.link.disconnected(&reason);
        self.session.send_replace(None);
        session.end().await;
        reason
    }

    async fn watch(&self, session: &Session) -> String {
        let mut publishing = std::pin::pin!(session.publishing.events());
        let mut consuming = std::pin::pin!(session.consuming.events());
        let mut reason = None;
        loop {
            self.heartbeat.beat();
            let blocked = session.publishing.is_blocked();
            if blocked != self.link.is_blocked() {
                let reason = blocked.then(|| "low on resources".to_owned());
                self.link.change(|state| state.blocked = reason);
            }
            if !session.is_open() {
                return reason.unwrap_or_else(|| "the connection was lost".to_owned());
            }
            let event = tokio::select! {
                event = publishing.next() => event,
                event = consuming.next() => event,
                () = tokio::time::sleep(CHECK_EVERY) => {
                    if self.link.refused().is_some()
                        && let Err(error) = self.heartbeat.while_waiting(session.declarer.declare()).await
                    {
                        tracing::debug!(%error, "a declaration is still refused");
                    }
                    continue;
                }
            };
            match event {
                Some(Event::ConnectionBlocked(reason)) => {
                    tracing::warn!(%reason, "the broker has blocked publishing");
                    self.link.change(|state| state.blocked = Some(reason));
                }
                Some(Event::ConnectionUnblocked) => {
                    tracing::info!("the broker has unblocked publishing");
                    self.link.change(|state| state.blocked = None);
                }
                // It may be a channel's error; whether the connection is affected is checked above.
                Some(Event::Error(error)) => reason = Some(error.to_string()),
                Some(_) => {}
                None => return reason.unwrap_or_else(|| "the connection was lost".to_owned()),
            }
        }
    }
}
