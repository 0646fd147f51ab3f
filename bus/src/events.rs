//! Order events as messages.

use schema::order_events::{OrderEvent, routing_key};
use uuid::Uuid;

use crate::failure::{Failure, FailureCode};
use crate::message::{HeaderValue, Message, header};
use crate::packet::{self, Packet};
use crate::transport::Target;

/// The message that tells of an event, and where it goes.
///
/// `event_id` is the stored event's id: publishing again after a crash repeats the same message.
/// `traceparent` is that of the change it tells of.
pub fn event_message(event_id: Uuid, event: &OrderEvent, traceparent: Option<&str>) -> (Target, Message) {
    let pattern = event.kind.pattern();
    let mut message = Message {
        body: packet::write(pattern, event, None),
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

/// Reads an order event.
pub fn read_event(message: &Message) -> Result<OrderEvent, Failure> {
    let packet = Packet::read(&message.body)?;
    let event: OrderEvent = packet.data()?;
    if packet.pattern == event.kind.pattern() {
        Ok(event)
    } else {
        let message = format!("{} tells of {:?}", packet.pattern, event.kind);
        Err(Failure::new(FailureCode::Undecodable, message))
    }
}
