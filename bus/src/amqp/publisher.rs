//! Publishing: in order, pipelined on one channel, with a result for each message.

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use futures::{FutureExt as _, poll};
use lapin::message::BasicReturnMessage;
use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::channel::forbidden;
use super::connection::Connection;
use super::declare::Declarer;
use crate::transport::PublishError;

/// The most messages of one publisher without a result.
const WINDOW: usize = 1_024;
/// How long a message may wait until the window has room.
const WINDOW_LIMIT: Duration = Duration::from_millis(500);
/// How long confirmations are awaited after the connection is given up.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);
/// Messages taken from the channel at once.
const BATCH: usize = 64;

pub(super) type Published = Result<(), PublishError>;

pub(super) struct Outgoing {
    pub(super) exchange: ShortString,
    pub(super) routing_key: ShortString,
    /// Whether the broker returns it if no queue takes it.
    pub(super) mandatory: bool,
    pub(super) properties: BasicProperties,
    pub(super) body: Bytes,
}

/// Whether the broker confirms what is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Confirms {
    /// A result follows the broker's confirmation.
    Awaited,
    /// A result follows writing to the socket.
    None,
}

/// Submits messages to the task that publishes on one channel.
pub(super) struct Publisher {
    jobs: mpsc::Sender<Job>,
    window: Arc<Semaphore>,
}

struct Job {
    outgoing: Outgoing,
    answer: oneshot::Sender<Published>,
    /// Held until the message has its result, even if the receiver was dropped.
    _permit: OwnedSemaphorePermit,
}

impl Publisher {
    /// Returns a publisher, and the task that publishes its messages until `lost`.
    pub(super) fn new(
        connection: Arc<Connection>,
        declarer: Arc<Declarer>,
        confirms: Confirms,
        lost: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (jobs, waiting) = mpsc::channel(WINDOW);
        let pipeline = Pipeline {
            connection,
            declarer,
            confirms,
            channel: None,
            in_flight: FuturesUnordered::new(),
            returned: Vec::new(),
            lost,
        };
        (Self { jobs, window: Arc::new(Semaphore::new(WINDOW)) }, pipeline.run(waiting))
    }

    /// Submits a message by `deadline`; the messages of one caller keep their order. Dropping the receiver does not recall
    /// the message.
    pub(super) async fn submit(
        &self,
        outgoing: Outgoing,
        deadline: Instant,
    ) -> Result<oneshot::Receiver<Published>, PublishError> {
        let window_deadline = deadline.min(Instant::now() + WINDOW_LIMIT);
        let permit = tokio::time::timeout_at(window_deadline, Arc::clone(&self.window).acquire_owned());
        let permit = permit.await.map_err(|_| PublishError::WindowFull)?;
        let permit = permit.map_err(|_| PublishError::Disconnected)?;
        let (answer, answered) = oneshot::channel();
        let job = Job { outgoing, answer, _permit: permit };
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
    /// Messages that the broker returned because no queue took them, until their own confirmation comes. No more than the
    /// publishing window, as each belongs to a message that is still unconfirmed.
    returned: Vec<BasicReturnMessage>,
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
        // A caller that stopped waiting has the result "unknown" already, so the message need not be sent.
        if job.answer.is_closed() {
            return;
        }
        let lost = self.lost.clone();
        let Some(Some(channel)) = lost.run_until_cancelled(self.open_channel()).await else {
            return answer(job, Err(PublishError::Disconnected));
        };
        let mut publishing = publish(channel, job).boxed();
        // The first poll hands the frames over, which keeps the order. A message that has failed by then was not written.
        match poll!(&mut publishing) {
            Poll::Pending => self.in_flight.push(publishing),
            Poll::Ready((job, Err(error))) => {
                tracing::debug!(%error, "a message could not be written");
                answer(job, Err(PublishError::Disconnected));
            }
            Poll::Ready(done) => self.answer_all(done),
        }
    }

    /// Returns the channel, opened again if the broker has closed it. The broker closes it, for example, if an exchange does
    /// not exist, so the topology is declared again first.
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
                tracing::debug!(%error, "the topology could not be declared before publishing");
            }
        }
        let opened = match self.confirms {
            Confirms::Awaited => self.connection.confirming_channel().await,
            Confirms::None => self.connection.channel().await,
        };
        self.channel = opened
            .inspect_err(|error| tracing::debug!(%error, "a channel to publish on could not be opened"))
            .ok();
        self.channel.clone()
    }

    /// Answers every message that is confirmed by now. lapin attaches a returned message to the message that is confirmed
    /// next, which with pipelining is often another one. It is attached no later than its own confirmation, though, so
    /// after all confirmations so far have been searched for returned messages, each confirmed message is known to be
    /// returned or not.
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
        let forbidden = done.iter().find_map(|(_, confirmation)| forbidden(confirmation.as_ref().err()?));
        if let Some(reason) = forbidden {
            tracing::error!(%reason, "this user of the broker may not publish");
        }
        for (job, confirmation) in done {
            let published = match confirmation {
                Ok(Confirmation::Nack(_)) => Err(PublishError::Nacked),
                Ok(_) if job.outgoing.mandatory && take_returned(&mut self.returned, &job.outgoing) => {
                    Err(PublishError::Unroutable)
                }
                Ok(_) => Ok(()),
                Err(error) => Err(PublishError::Unknown(error.to_string())),
            };
            answer(job, published);
        }
    }

    /// Waits for the messages in flight, at most [`DRAIN_LIMIT`]. Dropping the rest answers them.
    async fn drain(&mut self) {
        let draining = async {
            while let Some(done) = self.in_flight.next().await {
                self.answer_all(done);
            }
        };
        if tokio::time::timeout(DRAIN_LIMIT, draining).await.is_err() {
            tracing::debug!(messages = self.in_flight.len(), "messages were not confirmed in time");
        }
        self.in_flight.clear();
        self.returned.clear();
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
    // The caller may have dropped the receiver.
    drop(job.answer.send(published));
}

/// Removes the message if it was returned, and says whether it was. Two identical messages are not distinguished.
fn take_returned(all: &mut Vec<BasicReturnMessage>, outgoing: &Outgoing) -> bool {
    let found = all.iter().position(|returned| is_same(returned, outgoing));
    found.inspect(|&index| drop(all.swap_remove(index))).is_some()
}

fn is_same(returned: &BasicReturnMessage, outgoing: &Outgoing) -> bool {
    let properties = &outgoing.properties;
    returned.routing_key == outgoing.routing_key
        && returned.exchange == outgoing.exchange
        && returned.properties.message_id() == properties.message_id()
        && returned.properties.correlation_id() == properties.correlation_id()
        && returned.data == outgoing.body
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::message::Delivery;

    fn outgoing(id: &str) -> Outgoing {
        Outgoing {
            exchange: "".into(),
            routing_key: "queue".into(),
            mandatory: true,
            properties: BasicProperties::default().with_message_id(id.into()),
            body: Bytes::from_static(b"{}"),
        }
    }

    #[test]
    fn a_returned_message_is_matched_by_its_content_whichever_confirmation_it_came_with() {
        let mut delivery = Delivery::mock(0, "".into(), "queue".into(), false, b"{}".to_vec());
        delivery.properties = BasicProperties::default().with_message_id("second".into());
        let message = BasicReturnMessage { delivery, reply_code: 312, reply_text: "NO_ROUTE".into() };
        let mut returned = vec![message];
        assert!(!take_returned(&mut returned, &outgoing("first")));
        assert!(take_returned(&mut returned, &outgoing("second")));
        assert!(!take_returned(&mut returned, &outgoing("second")), "once only");
    }
}
