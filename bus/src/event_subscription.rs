//! Events as they happen, on a queue of this process's own.

use schema::order_events::OrderEvent;

use crate::events::read_event;
use crate::topology::LIVE_MAX_LENGTH;
use crate::transport::{Deliveries, ExclusiveQueue, SharedTransport, TransportError};

/// What comes over a live subscription.
#[derive(Debug, Clone, PartialEq)]
pub enum EventSignal {
    /// Listening from now on: what happened before may have been missed and has to be replayed.
    Listening,
    /// Something happened. Positions tell whether anything was missed in between.
    Event(Box<OrderEvent>),
    /// Not listening any more; [`EventSignal::Listening`] follows once the connection is back.
    Lost,
}

/// All order events, live, across reconnects.
pub struct EventSubscription {
    transport: SharedTransport,
    deliveries: Option<Deliveries>,
}

impl EventSubscription {
    /// Nothing is consumed before the first [`EventSubscription::next`].
    pub fn new(transport: SharedTransport) -> Self {
        Self { transport, deliveries: None }
    }

    /// What comes next. Waits without bound: for a connection, and for something to happen.
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> EventSignal {
        loop {
            let Some(deliveries) = &mut self.deliveries else {
                match self.listen().await {
                    Ok(deliveries) => {
                        self.deliveries = Some(deliveries);
                        return EventSignal::Listening;
                    }
                    Err(error) => {
                        tracing::debug!(%error, "cannot listen for events yet");
                        tokio::time::sleep(error.pause()).await;
                    }
                }
                continue;
            };
            let Some(delivery) = deliveries.recv().await else {
                self.deliveries = None;
                return EventSignal::Lost;
            };
            match read_event(&delivery.message) {
                Ok(event) => return EventSignal::Event(Box::new(event)),
                // A gap in the positions follows, and replay brings the event itself.
                Err(error) => tracing::warn!(%error, "an event could not be read"),
            }
        }
    }

    async fn listen(&self) -> Result<Deliveries, TransportError> {
        let queue = ExclusiveQueue {
            purpose: "events",
            event_bindings: vec!["order.#".to_owned()],
            max_length: LIVE_MAX_LENGTH,
        };
        self.transport.consume_exclusive(queue).await.map(|(_, deliveries)| deliveries)
    }
}
