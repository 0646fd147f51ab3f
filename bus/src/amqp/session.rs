//! What holds together for as long as its connections do: one for publishing, one for everything else.

use lapin::options::{BasicGetOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::uri::AMQPUri;
use std::sync::Arc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Connection;
use super::consumer;
use super::dead_letter;
use super::declare::Declarer;
use super::errors::{bounded, is_not_found, transport_error};
use super::publisher::{Confirms, Publisher};
use super::settle;
use super::standing::Standing;
use crate::topology::Topology;
use crate::transport::{Deliveries, ExclusiveQueue, PeekedMessages, QueueDepth, TransportError};

/// Two connections and what runs on them. A broker that is short of memory stops reading from connections
/// that publish, acknowledgements included, so those have one of their own.
///
/// Both go down together: replies come over one to requests that left over the other.
pub(super) struct Session {
    pub(super) publishing: Arc<Connection>,
    pub(super) consuming: Arc<Connection>,
    pub(super) declarer: Arc<Declarer>,
    pub(super) confirmed: Publisher,
    pub(super) posted: Publisher,
    standing: Arc<Standing>,
    pipelines: TaskTracker,
    lost: CancellationToken,
}

impl Session {
    pub(super) async fn open(
        uri: &AMQPUri,
        owner: &str,
        topology: &Arc<Topology>,
        standing: &Arc<Standing>,
        window: usize,
    ) -> Result<Self, String> {
        let (publishing, consuming) =
            tokio::try_join!(Connection::open(uri.clone(), owner), Connection::open(uri.clone(), owner))?;
        let (publishing, consuming) = (Arc::new(publishing), Arc::new(consuming));
        let declarer =
            Arc::new(Declarer::new(Arc::clone(&consuming), Arc::clone(topology), Arc::clone(standing)));
        let lost = CancellationToken::new();
        let pipelines = TaskTracker::new();
        let publisher = |confirms| {
            let (publishing, declarer) = (Arc::clone(&publishing), Arc::clone(&declarer));
            let (publisher, task) = Publisher::new(publishing, declarer, confirms, window, lost.clone());
            pipelines.spawn(task);
            publisher
        };
        let confirmed = publisher(Confirms::Awaited);
        let posted = publisher(Confirms::None);
        pipelines.close();
        let standing = Arc::clone(standing);
        Ok(Self { publishing, consuming, declarer, confirmed, posted, standing, pipelines, lost })
    }

    pub(super) fn is_open(&self) -> bool {
        self.publishing.is_open() && self.consuming.is_open()
    }

    /// Answers for what is still being published, closes what is consumed, and says goodbye.
    pub(super) async fn end(&self) {
        self.lost.cancel();
        self.pipelines.wait().await;
        tokio::join!(self.publishing.close(), self.consuming.close());
    }

    pub(super) async fn consume(&self, queue: &str, prefetch: u16) -> Result<Deliveries, TransportError> {
        let consume = || consumer::shared(&self.consuming, &self.declarer, &self.lost, queue, prefetch);
        let outcome = match consume().await {
            Err(refusal) if self.brings_back(queue, &refusal).await => consume().await,
            outcome => outcome,
        };
        self.note(queue, &outcome);
        outcome
    }

    pub(super) async fn consume_exclusive(
        &self,
        name: &str,
        exchange: &str,
        queue: &ExclusiveQueue,
    ) -> Result<Deliveries, TransportError> {
        let (connection, lost) = (&self.consuming, &self.lost);
        let outcome = consumer::exclusive(connection, &self.declarer, lost, name, exchange, queue).await;
        // Its name is another each time.
        self.note(queue.purpose, &outcome);
        if let Err(TransportError::Refused(_)) = &outcome {
            // The exchange that it is bound to may have vanished.
            let healed = self.declarer.declare_after(Instant::now()).await;
            tracing::debug!(?healed, "declared what may have been deleted");
        }
        outcome
    }

    /// Whoever can't consume is not up, and tries again for ever.
    fn note(&self, queue: &str, outcome: &Result<Deliveries, TransportError>) {
        let refused = outcome.as_ref().err().filter(|error| **error != TransportError::Disconnected);
        if self.standing.consuming(queue, refused)
            && let Some(error) = refused
        {
            tracing::warn!(queue, %error, "a queue can't be consumed");
        }
    }

    pub(super) async fn peek(&self, queue: &str, limit: u32) -> Result<PeekedMessages, TransportError> {
        match self.get(queue, limit).await {
            Err(refusal) if self.brings_back(queue, &refusal).await => self.get(queue, limit).await,
            outcome => outcome,
        }
    }

    async fn get(&self, queue: &str, limit: u32) -> Result<PeekedMessages, TransportError> {
        let channel = Arc::new(self.consuming.channel().await?);
        let mut peeked = PeekedMessages::new();
        while peeked.len() < limit as usize {
            let getting = channel.basic_get(queue.into(), BasicGetOptions::default());
            let Some(got) = bounded(getting).await? else { break };
            peeked.push(dead_letter::explained(settle::delivery(got.delivery, &channel)));
        }
        Ok(peeked)
    }

    pub(super) async fn depth(&self, queue: &str) -> Result<Option<QueueDepth>, TransportError> {
        let channel = self.consuming.channel().await?;
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declaring = channel.queue_declare(queue.into(), options, FieldTable::default());
        let asked = bounded(async {
            match declaring.await {
                Err(error) if is_not_found(&error) => Ok(None),
                answer => answer.map(Some),
            }
        });
        let Some(declared) = asked.await? else { return Ok(None) };
        let depth =
            QueueDepth { ready: u64::from(declared.message_count()), consumers: declared.consumer_count() };
        channel.close(200, "OK".into()).await.map_err(|error| transport_error(&error))?;
        Ok(Some(depth))
    }

    /// Whether it is worth trying again: a queue of ours may have vanished, and is there again now.
    async fn brings_back(&self, queue: &str, refusal: &TransportError) -> bool {
        matches!(refusal, TransportError::Refused(_))
            && self.declarer.owns(queue)
            && self.declarer.declare_after(Instant::now()).await.is_ok()
    }
}
