//! Publishing: in order, pipelined on one channel, each message answered for.

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use futures::{FutureExt as _, poll};
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use super::declare::Declarer;
use super::returned::Returned;
use crate::transport::PublishError;

/// How long a message waits for its place in the window, at the most.
const WINDOW_PATIENCE: Duration = Duration::from_millis(500);
/// How long confirmations are awaited once the connection is given up.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);
/// Messages taken up in one go.
const BATCH: usize = 64;

/// What became of a message.
pub(super) type Published = Result<(), PublishError>;

/// A message on its way out.
pub(super) struct Outgoing {
    pub(super) exchange: ShortString,
    pub(super) routing_key: ShortString,
    /// It comes back where no queue takes it.
    pub(super) mandatory: bool,
    pub(super) properties: BasicProperties,
    pub(super) body: Bytes,
}

/// Whether the broker confirms what is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Confirms {
    /// Answered once the broker has taken responsibility.
    Awaited,
    /// Answered once it is written to the socket.
    None,
}

/// The entrance to one connection's publishing channel.
pub(super) struct Publisher {
    jobs: mpsc::Sender<Job>,
    window: Arc<Semaphore>,
}

struct Job {
    outgoing: Outgoing,
    answer: oneshot::Sender<Published>,
    /// Held until the message is answered for, also where nobody waits for that any more.
    _place: OwnedSemaphorePermit,
}

impl Publisher {
    /// A publisher with at most `window` messages unanswered, and the task that works for it until `lost`.
    pub(super) fn new(
        connection: Arc<Connection>,
        declarer: Arc<Declarer>,
        confirms: Confirms,
        window: usize,
        lost: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (jobs, waiting) = mpsc::channel(window);
        let pipeline = Pipeline {
            connection,
            declarer,
            confirms,
            channel: None,
            in_flight: FuturesUnordered::new(),
            returned: Returned::default(),
            lost,
        };
        (Self { jobs, window: Arc::new(Semaphore::new(window)) }, pipeline.run(waiting))
    }

    /// Hands a message over, by `deadline`; those of one caller keep their order. Dropping the receiver recalls
    /// nothing.
    pub(super) async fn submit(
        &self,
        outgoing: Outgoing,
        deadline: Instant,
    ) -> Result<oneshot::Receiver<Published>, PublishError> {
        let patience = deadline.min(Instant::now() + WINDOW_PATIENCE);
        let place = tokio::time::timeout_at(patience, Arc::clone(&self.window).acquire_owned());
        let place = place.await.map_err(|_| PublishError::WindowFull)?;
        let place = place.map_err(|_| PublishError::Disconnected)?;
        let (answer, answered) = oneshot::channel();
        let job = Job { outgoing, answer, _place: place };
        self.jobs.send(job).await.map_err(|_| PublishError::Disconnected)?;
        Ok(answered)
    }
}

type Done = (Job, lapin::Result<Confirmation>);

/// The one task that publishes on a channel.
struct Pipeline {
    connection: Arc<Connection>,
    declarer: Arc<Declarer>,
    confirms: Confirms,
    channel: Option<Channel>,
    in_flight: FuturesUnordered<BoxFuture<'static, Done>>,
    returned: Returned,
    lost: CancellationToken,
}

impl Pipeline {
    async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let lost = self.lost.clone();
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                biased;
                () = lost.cancelled() => break,
                Some(done) = self.in_flight.next() => self.answer_all(done),
                taken = jobs.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        break;
                    }
                    for job in batch.drain(..) {
                        self.publish(job).await;
                    }
                }
            }
        }
        jobs.close();
        while let Some(job) = jobs.recv().await {
            answer(job, Err(PublishError::Disconnected));
        }
        self.drain().await;
    }

    async fn publish(&mut self, job: Job) {
        // Whoever gave up waiting was told "unknown"; what was not sent by then need not be.
        if job.answer.is_closed() {
            return;
        }
        let lost = self.lost.clone();
        let Some(Some(channel)) = lost.run_until_cancelled(self.open_channel()).await else {
            return answer(job, Err(PublishError::Disconnected));
        };
        let mut publishing = publish(channel, job).boxed();
        // The first poll hands the frames over, so order is kept whatever happens later. What has failed by
        // then has written nothing.
        match poll!(&mut publishing) {
            Poll::Pending => self.in_flight.push(publishing),
            Poll::Ready((job, Err(error))) => {
                tracing::debug!(%error, "a message could not be written");
                answer(job, Err(PublishError::Disconnected));
            }
            Poll::Ready(done) => self.answer_all(done),
        }
    }

    /// The channel, opened again where the broker has closed it. It does that when an exchange has vanished, for
    /// one thing, so the topology is declared again first.
    async fn open_channel(&mut self) -> Option<Channel> {
        if let Some(channel) = &self.channel {
            if channel.status().connected() {
                return Some(channel.clone());
            }
            self.drain().await;
            self.channel = None;
            if !self.connection.is_open() {
                return None;
            }
            if let Err(error) = self.declarer.declare().await {
                tracing::debug!(%error, "publishing goes on over what is there");
            }
        }
        let opened = match self.confirms {
            Confirms::Awaited => self.connection.confirming_channel().await,
            Confirms::None => self.connection.channel().await,
        };
        self.channel = opened.inspect_err(|error| tracing::debug!(%error, "no channel to publish on")).ok();
        self.channel.clone()
    }

    /// Answers for what is done, together with everything else that is done by now.
    ///
    /// lapin attaches a returned message to whichever message happens to be confirmed next, which with
    /// pipelining is often another one. It has been attached no later than its own confirmation, though, so
    /// once all that is confirmed by now has been looked through, the owner of each confirmation can tell.
    fn answer_all(&mut self, first: Done) {
        let mut done = vec![first];
        while let Some(Some(more)) = self.in_flight.next().now_or_never() {
            done.push(more);
        }
        for (_, confirmation) in &mut done {
            if let Ok(Confirmation::Ack(returned) | Confirmation::Nack(returned)) = confirmation {
                self.returned.extend(returned.take());
            }
        }
        for (job, confirmation) in done {
            let published = match confirmation {
                Ok(Confirmation::Nack(_)) => Err(PublishError::Nacked),
                Ok(_) if job.outgoing.mandatory && self.returned.take(&job.outgoing) => {
                    Err(PublishError::Unroutable)
                }
                Ok(_) => Ok(()),
                Err(error) => Err(PublishError::Unknown(error.to_string())),
            };
            answer(job, published);
        }
    }

    /// Waits for what is in flight, within bounds. The rest is answered for by being dropped.
    async fn drain(&mut self) {
        let draining = async {
            while let Some(done) = self.in_flight.next().await {
                self.answer_all(done);
            }
        };
        if tokio::time::timeout(DRAIN_LIMIT, draining).await.is_err() {
            tracing::debug!(messages = self.in_flight.len(), "messages stay unconfirmed");
        }
        self.in_flight.clear();
        self.returned = Returned::default();
    }
}

async fn publish(channel: Channel, job: Job) -> Done {
    let Outgoing { exchange, routing_key, mandatory, properties, body } = &job.outgoing;
    let options = BasicPublishOptions { mandatory: *mandatory, ..BasicPublishOptions::default() };
    let published =
        channel.basic_publish(exchange.clone(), routing_key.clone(), options, body, properties.clone()).await;
    let confirmation = match published {
        Ok(confirmation) => confirmation.await,
        Err(error) => Err(error),
    };
    (job, confirmation)
}

fn answer(job: Job, published: Published) {
    let outcome = match &published {
        Ok(()) => "published",
        Err(PublishError::Nacked) => "nacked",
        Err(PublishError::Unroutable) => "returned",
        Err(PublishError::Unknown(_)) => "unknown",
        Err(_) => "not_sent",
    };
    metrics::counter!("waybill_published_total", "outcome" => outcome).increment(1);
    // Nobody may be waiting any more; that is theirs to decide.
    drop(job.answer.send(published));
}
