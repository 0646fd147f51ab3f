//! Order events as messages, and a subscription to them.

use schema::order_events::{EventKind, OrderEvent, routing_key};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::envelope::{self, Envelope};
use crate::failure::Failure;
use crate::message::{Message, header};
use crate::topology::LIVE_MAX_LENGTH;
use crate::transport::{Deliveries, ExclusiveQueue, SharedTransport, Target};

/// Returns an event's message and where to publish it. `event_id` is the stored event's id, so publishing again after a
/// crash repeats the same message. `traceparent` is that of the change that caused the event.
pub fn event_message(event_id: Uuid, event: &OrderEvent, traceparent: Option<&str>) -> (Target, Message) {
    let pattern = event.kind.pattern();
    let mut message = Message {
        body: envelope::write(pattern, event, None),
        message_id: Some(event_id.to_string()),
        kind: Some(pattern.to_owned()),
        timestamp: Some(event.occurred_at),
        persistent: true,
        ..Message::default()
    };
    if let Some(traceparent) = traceparent {
        message.set_header(header::TRACEPARENT, traceparent.into());
    }
    (Target::Events { routing_key: routing_key(&event.customer_id, event.kind) }, message)
}

/// Reads an order event. Its pattern says the kind; if the data says it as well, both must agree.
pub fn read_event(message: &Message) -> Result<OrderEvent, Failure> {
    let envelope = Envelope::read(&message.body)?;
    let pattern = &envelope.pattern;
    let kind = EventKind::from_pattern(pattern)
        .ok_or_else(|| Failure::undecodable(format_args!("{pattern} is not an order event")))?;
    let mut data: Map<String, Value> = envelope.data()?;
    data.entry("kind").or_insert_with(|| json!(kind));
    let event: OrderEvent = serde_json::from_value(Value::Object(data))
        .map_err(|error| Failure::undecodable(format_args!("{pattern}: {error}")))?;
    if event.kind != kind {
        let text = format!("the pattern {pattern} does not match the kind {:?}", event.kind);
        return Err(Failure::undecodable(text));
    }
    Ok(event)
}

/// What an [`EventSubscription`] yields.
#[derive(Debug, Clone, PartialEq)]
pub enum EventSignal {
    /// Events are received from now on; earlier ones may have been missed and must be replayed.
    Listening,
    /// An event. Its position shows whether events were missed in between.
    Event(Box<OrderEvent>),
    /// Events are no longer received; [`EventSignal::Listening`] follows after the next connect.
    Lost,
}

/// A subscription to all order events, across reconnects, over an exclusive queue.
pub struct EventSubscription {
    transport: SharedTransport,
    deliveries: Option<Deliveries>,
}

impl EventSubscription {
    /// A subscription that consumes nothing before the first [`EventSubscription::next`].
    pub fn new(transport: SharedTransport) -> Self {
        Self { transport, deliveries: None }
    }

    /// Waits for the next signal, without bound. Dropping the future loses no event.
    pub async fn next(&mut self) -> EventSignal {
        loop {
            if let Some(deliveries) = &mut self.deliveries {
                let Some(delivery) = deliveries.recv().await else {
                    self.deliveries = None;
                    return EventSignal::Lost;
                };
                match read_event(&delivery.message) {
                    Ok(event) => return EventSignal::Event(Box::new(event)),
                    // A gap in the positions follows, and replay yields the event itself.
                    Err(error) => tracing::warn!(%error, "an event could not be read"),
                }
                continue;
            }
            let event_bindings = vec!["order.#".to_owned()];
            let queue = ExclusiveQueue { purpose: "events", event_bindings, max_length: LIVE_MAX_LENGTH };
            match self.transport.consume_exclusive(queue).await {
                Ok((_, deliveries)) => {
                    self.deliveries = Some(deliveries);
                    return EventSignal::Listening;
                }
                Err(error) => {
                    tracing::debug!(%error, "events can't be consumed yet");
                    tokio::time::sleep(error.pause()).await;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::FailureCode;

    fn created(pattern: &str, kind: Option<&str>) -> Message {
        let sample = include_str!("../../schema/messages/order.created.json");
        let mut data: Map<String, Value> = serde_json::from_str(sample).unwrap();
        data.remove("kind");
        data.extend(kind.map(|kind| ("kind".to_owned(), json!(kind))));
        Message { body: envelope::write(pattern, &data, None), ..Message::default() }
    }

    #[test]
    fn the_pattern_says_the_kind_if_the_data_does_not() {
        for kind in EventKind::ALL {
            assert_eq!(read_event(&created(kind.pattern(), None)).unwrap().kind, kind);
        }
        let (_, written) =
            event_message(Uuid::nil(), &read_event(&created("order.deleted", None)).unwrap(), None);
        assert_eq!(read_event(&written).unwrap().kind, EventKind::Deleted);
    }

    #[test]
    fn what_is_no_order_event_or_contradicts_itself_is_undecodable() {
        for (pattern, kind) in
            [("order.create", None), ("order.deleted", Some("CREATED")), ("order.created", Some("NEW"))]
        {
            let failure = read_event(&created(pattern, kind)).unwrap_err();
            assert_eq!(failure.code, FailureCode::Undecodable, "{pattern} {kind:?}");
        }
    }
}
