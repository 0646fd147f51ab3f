//! Order events as messages.

use schema::order_events::{EventKind, OrderEvent, routing_key};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::envelope::{self, Envelope};
use crate::failure::{Failure, FailureCode};
use crate::message::{HeaderValue, Message, header};
use crate::transport::Target;

/// The message that tells of an event, and where it goes.
///
/// `event_id` is the stored event's id: publishing again after a crash repeats the same message.
/// `traceparent` is that of the change it tells of.
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
        message.set_header(header::TRACEPARENT, HeaderValue::from(traceparent));
    }
    (Target::Events { routing_key: routing_key(&event.customer_id, event.kind) }, message)
}

/// Reads an order event. Its pattern tells the kind; data that says it too must agree.
pub fn read_event(message: &Message) -> Result<OrderEvent, Failure> {
    let envelope = Envelope::read(&message.body)?;
    let undecodable = |reason: String| Failure::new(FailureCode::Undecodable, reason);
    let kind = EventKind::from_pattern(&envelope.pattern)
        .ok_or_else(|| undecodable(format!("{} is not an order event", envelope.pattern)))?;
    let mut data: Map<String, Value> = envelope.data()?;
    data.entry("kind").or_insert_with(|| json!(kind));
    let event: OrderEvent = serde_json::from_value(Value::Object(data))
        .map_err(|error| undecodable(format!("{}: {error}", envelope.pattern)))?;
    if event.kind == kind {
        Ok(event)
    } else {
        Err(undecodable(format!("{} tells of {:?}", envelope.pattern, event.kind)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn created(pattern: &str, kind: Option<&str>) -> Message {
        let sample = include_str!("../../schema/messages/order.created.json");
        let mut data: Map<String, Value> = serde_json::from_str(sample).unwrap();
        data.remove("kind");
        data.extend(kind.map(|kind| ("kind".to_owned(), json!(kind))));
        Message { body: envelope::write(pattern, &data, None), ..Message::default() }
    }

    #[test]
    fn the_pattern_tells_the_kind_where_the_data_does_not() {
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
