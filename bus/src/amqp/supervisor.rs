//! Keeps a session up: connects without end, notices what breaks, and says how things stand.

use futures::StreamExt as _;
use lapin::Event;
use lapin::uri::AMQPUri;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::session::Session;
use super::standing::Standing;
use crate::heartbeat::Heartbeat;
use crate::topology::Topology;
use crate::transport::TransportError;

/// The pause before the second attempt to connect; doubles up to the limit, and is jittered downwards by half. The
/// limit is what a caller may have to wait for once a broker that was away is back.
const RECONNECT_FIRST: Duration = Duration::from_millis(100);
const RECONNECT_LIMIT: Duration = Duration::from_secs(2);
/// How often a refused declaration is tried again, and a silent loss looked for.
const TEND_EVERY: Duration = Duration::from_secs(2);

pub(super) struct Supervisor {
    pub(super) uri: AMQPUri,
    pub(super) owner: String,
    pub(super) topology: Arc<Topology>,
    pub(super) window: usize,
    pub(super) standing: Arc<Standing>,
    pub(super) session: watch::Sender<Option<Arc<Session>>>,
    pub(super) heartbeat: Heartbeat,
}

impl Supervisor {
    /// Runs until `stop`; no connection is open then.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut epoch = 0;
        let mut pause = RECONNECT_FIRST;
        while !stop.is_cancelled() {
            // Each step of it has a bound of its own, and there are many.
            let opening = self.heartbeat.while_waiting(self.open());
            let reason = match stop.run_until_cancelled(Box::pin(opening)).await {
                None => break,
                Some(Ok(session)) => {
                    epoch += 1;
                    pause = RECONNECT_FIRST;
                    self.keep(session, epoch, &stop).await
                }
                Some(Err(reason)) => reason,
            };
            self.standing.disconnected(&reason);
            if stop.is_cancelled() {
                break;
            }
            tracing::warn!(%reason, "no connection to the broker");
            self.heartbeat.beat();
            stop.run_until_cancelled(tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.0)))).await;
            pause = (pause * 2).min(RECONNECT_LIMIT);
        }
        self.standing.disconnected("closed");
    }

    /// A session over which everything is declared, except what the broker refuses.
    async fn open(&self) -> Result<Session, String> {
        let Self { uri, owner, topology, standing, window, .. } = self;
        let session = Session::open(uri, owner, topology, standing, *window).await?;
        match session.declarer.declare().await {
            Ok(()) | Err(TransportError::Refused(_)) => Ok(session),
            Err(error) => {
                session.end().await;
                Err(error.to_string())
            }
        }
    }

    /// Lets everybody use the session until it breaks or `stop`. Answers why it ended.
    async fn keep(&self, session: Session, epoch: u64, stop: &CancellationToken) -> String {
        let session = Arc::new(session);
        metrics::counter!("waybill_broker_connects_total").increment(1);
        self.session.send_replace(Some(Arc::clone(&session)));
        self.standing.connected(epoch);
        tracing::info!(epoch, "connected to the broker");
        let tending = self.tend(&session);
        let reason = stop.run_until_cancelled(tending).await.unwrap_or_else(|| "closed".to_owned());
        self.standing.disconnected(&reason);
        self.session.send_replace(None);
        session.end().await;
        reason
    }

    async fn tend(&self, session: &Session) -> String {
        let mut publishing = std::pin::pin!(session.publishing.events());
        let mut consuming = std::pin::pin!(session.consuming.events());
        let mut reason = None;
        loop {
            self.heartbeat.beat();
            if session.publishing.is_blocked() != self.standing.is_blocked() {
                self.standing.blocked(session.publishing.is_blocked().then(|| "low on resources".to_owned()));
            }
            if !session.is_open() {
                return reason.unwrap_or_else(|| "the connection was lost".to_owned());
            }
            let event = tokio::select! {
                event = publishing.next() => event,
                event = consuming.next() => event,
                () = tokio::time::sleep(TEND_EVERY) => {
                    self.declare_what_was_refused(session).await;
                    continue;
                }
            };
            match event {
                Some(Event::ConnectionBlocked(reason)) => {
                    tracing::warn!(%reason, "the broker has blocked publishing");
                    self.standing.blocked(Some(reason));
                }
                Some(Event::ConnectionUnblocked) => {
                    tracing::info!("the broker takes publishing again");
                    self.standing.blocked(None);
                }
                // A channel's error as well; whether the connection is affected is asked above.
                Some(Event::Error(error)) => reason = Some(error.to_string()),
                Some(_) => {}
                None => return reason.unwrap_or_else(|| "the connection was lost".to_owned()),
            }
        }
    }

    async fn declare_what_was_refused(&self, session: &Session) {
        if self.standing.refused().is_some()
            && let Err(error) = self.heartbeat.while_waiting(session.declarer.declare()).await
        {
            tracing::debug!(%error, "still refused");
        }
    }
}
