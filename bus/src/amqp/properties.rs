//! Messages as AMQP properties and back. Reading never fails: properties of other clients that a [`Message`] has no field
//! for are left out.

use bytes::Bytes;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use schema::time::Timestamp;
use std::time::Duration;

use crate::failure::FailureCode;
use crate::message::{self, HeaderValue, Headers, Message};

/// How often a quorum queue has delivered the message before.
const DELIVERY_COUNT: &str = "x-delivery-count";
/// The broker's record of its own dead-lettering.
const DEATHS: &str = "x-death";
const PERSISTENT: u8 = 2;
/// The longest text that fits a property or a header's name, in bytes.
const SHORT_STRING_MAX: usize = 255;

/// The broker's record of the last dead-lettering, as flat headers: `x-death-queue`, `x-death-reason`, `x-death-count` and
/// `x-death-time` (unix seconds).
const DEATH_PREFIX: &str = "x-death-";

/// Returns the properties to publish a message with.
pub(super) fn write(message: &Message) -> BasicProperties {
    let mut properties = BasicProperties::default().with_content_type(ShortString::from("application/json"));
    if let Some(id) = message.message_id.as_deref().and_then(short) {
        properties = properties.with_message_id(id);
    }
    if let Some(id) = message.correlation_id.as_deref().and_then(short) {
        properties = properties.with_correlation_id(id);
    }
    if let Some(queue) = message.reply_to.as_deref().and_then(short) {
        properties = properties.with_reply_to(queue);
    }
    if let Some(kind) = message.kind.as_deref().and_then(short) {
        properties = properties.with_type(kind);
    }
    if let Some(seconds) = message.timestamp.and_then(|at| u64::try_from(at.unix_ms() / 1_000).ok()) {
        properties = properties.with_timestamp(seconds);
    }
    if let Some(expiration) = message.expiration {
        properties = properties.with_expiration(ShortString::from(expiration.as_millis().to_string()));
    }
    if message.persistent {
        properties = properties.with_delivery_mode(PERSISTENT);
    }
    if message.headers.is_empty() { properties } else { properties.with_headers(table(&message.headers)) }
}

/// Reads a message that was received.
pub(super) fn read(properties: &BasicProperties, body: Vec<u8>) -> Message {
    let text = |property: &Option<ShortString>| property.as_ref().map(|text| text.as_str().to_owned());
    let milliseconds = |text: &ShortString| text.as_str().parse().ok();
    Message {
        body: Bytes::from(body),
        message_id: text(properties.message_id()),
        correlation_id: text(properties.correlation_id()),
        reply_to: text(properties.reply_to()),
        kind: text(properties.kind()),
        timestamp: properties.timestamp().and_then(|at| from_unix_seconds(at.try_into().ok()?)),
        expiration: properties.expiration().as_ref().and_then(milliseconds).map(Duration::from_millis),
        persistent: *properties.delivery_mode() == Some(PERSISTENT),
        headers: properties.headers().as_ref().map(headers).unwrap_or_default(),
    }
}

/// Returns how often the message has been delivered before. Quorum queues count deliveries; of other queues' redeliveries
/// only "at least once" is known.
pub(super) fn delivery_count(properties: &BasicProperties, redelivered: bool) -> u32 {
    let counted = properties
        .headers()
        .as_ref()
        .and_then(|headers| headers.inner().get(DELIVERY_COUNT))
        .and_then(integer)
        .and_then(|count| u32::try_from(count).ok());
    counted.unwrap_or(u32::from(redelivered))
}

/// Converts a text into a short string, if it is short enough.
pub(super) fn short(text: &str) -> Option<ShortString> {
    ShortString::try_new(text).ok()
}

/// Adds the headers of our own dead letters to a message that the broker dead-lettered: delivered too often, or too long in
/// a queue. A message that a consumer dead-lettered has them already.
pub(super) fn describe_dead_letter(message: &mut Message) {
    use message::header;
    if message.headers.contains_key(header::FAILURE_CODE) {
        return;
    }
    let Some(queue) = message.header_text("x-death-queue").map(str::to_owned) else { return };
    let reason = message.header_text("x-death-reason").unwrap_or("unknown");
    let count = message.header_int("x-death-count").unwrap_or(1);
    let text = format!("the broker gave up on delivering it from {queue}: {reason} ({count} times)");
    let failed_at = message.header_int("x-death-time").and_then(from_unix_seconds);
    message.set_header(header::FAILURE_CODE, FailureCode::Undeliverable.as_str().into());
    message.set_header(header::FAILURE_MESSAGE, text.into());
    message.set_header(header::ORIGIN_QUEUE, queue.into());
    if let Some(failed_at) = failed_at {
        message.set_header(header::FAILED_AT, failed_at.to_string().into());
    }
}

fn from_unix_seconds(seconds: i64) -> Option<Timestamp> {
    Timestamp::from_unix_ms(seconds.checked_mul(1_000)?)
}

fn table(headers: &Headers) -> FieldTable {
    let mut table = FieldTable::default();
    let ours =
        headers.iter().filter(|(name, _)| !name.starts_with(DEATH_PREFIX) && name.len() <= SHORT_STRING_MAX);
    for (name, value) in ours {
        let value = match value {
            HeaderValue::Int(number) => AMQPValue::LongLongInt(*number),
            HeaderValue::Text(text) => AMQPValue::LongString(text.as_bytes().into()),
        };
        table.insert(ShortString::from(name.as_str()), value);
    }
    table
}

fn headers(table: &FieldTable) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in table.inner() {
        match (name.as_str(), value) {
            (DELIVERY_COUNT, _) => {}
            (DEATHS, AMQPValue::FieldArray(deaths)) => {
                if let Some(AMQPValue::FieldTable(last)) = deaths.as_slice().first() {
                    headers.extend(death(last));
                }
            }
            (name, value) => headers.extend(header(value).map(|value| (name.to_owned(), value))),
        }
    }
    headers
}

fn death(last: &FieldTable) -> impl Iterator<Item = (String, HeaderValue)> {
    let read = |field| Some((format!("{DEATH_PREFIX}{field}"), header(last.inner().get(field)?)?));
    ["queue", "reason", "count", "time"].into_iter().filter_map(read)
}

fn header(value: &AMQPValue) -> Option<HeaderValue> {
    if let Some(number) = integer(value) {
        return Some(HeaderValue::Int(number));
    }
    Some(HeaderValue::Text(match value {
        AMQPValue::LongString(text) => String::from_utf8(text.as_bytes().to_vec()).ok()?,
        AMQPValue::ShortString(text) => text.as_str().to_owned(),
        AMQPValue::Boolean(yes) => yes.to_string(),
        AMQPValue::Float(number) => number.to_string(),
        AMQPValue::Double(number) => number.to_string(),
        _ => return None,
    }))
}

fn integer(value: &AMQPValue) -> Option<i64> {
    Some(match *value {
        AMQPValue::ShortShortInt(number) => number.into(),
        AMQPValue::ShortShortUInt(number) => number.into(),
        AMQPValue::ShortInt(number) => number.into(),
        AMQPValue::ShortUInt(number) => number.into(),
        AMQPValue::LongInt(number) => number.into(),
        AMQPValue::LongUInt(number) => number.into(),
        AMQPValue::LongLongInt(number) => number,
        AMQPValue::Timestamp(seconds) => i64::try_from(seconds).ok()?,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::types::FieldArray;

    #[test]
    fn a_message_comes_back_as_it_was_sent() {
        let message = Message {
            body: Bytes::from_static(b"{}"),
            message_id: Some("m".to_owned()),
            correlation_id: Some("c".to_owned()),
            reply_to: Some("r".to_owned()),
            kind: Some("order.create".to_owned()),
            timestamp: Some("2026-11-23T19:10:51.000Z".parse().unwrap()),
            expiration: Some(Duration::from_millis(1_500)),
            persistent: true,
            headers: Headers::from([
                ("traceparent".to_owned(), "00-a-b-01".into()),
                ("x-attempt".to_owned(), 3.into()),
            ]),
        };
        assert_eq!(read(&write(&message), message.body.to_vec()), message);
    }

    #[test]
    fn bare_messages_and_foreign_headers_are_read_as_far_as_they_make_sense() {
        assert_eq!(read(&BasicProperties::default(), Vec::new()), Message::default());
        let mut table = FieldTable::default();
        table.insert("small".into(), AMQPValue::ShortShortUInt(7));
        table.insert("flag".into(), AMQPValue::Boolean(true));
        table.insert("nothing".into(), AMQPValue::Void);
        table.insert("nested".into(), AMQPValue::FieldTable(FieldTable::default()));
        table.insert("latin1".into(), AMQPValue::LongString(vec![0xe9].into()));
        let properties = BasicProperties::default()
            .with_headers(table)
            .with_expiration("soon".into())
            .with_timestamp(u64::MAX);
        let message = read(&properties, Vec::new());
        let expected = Headers::from([("small".to_owned(), 7.into()), ("flag".to_owned(), "true".into())]);
        assert_eq!((message.headers, message.expiration, message.timestamp), (expected, None, None));
    }

    #[test]
    fn the_brokers_own_dead_lettering_is_read_and_never_sent_on() {
        let mut last = FieldTable::default();
        last.insert("queue".into(), AMQPValue::LongString("waybill.order.commands".into()));
        last.insert("reason".into(), AMQPValue::LongString("delivery_limit".into()));
        last.insert("count".into(), AMQPValue::LongLongInt(1));
        let mut deaths = FieldArray::default();
        deaths.push(AMQPValue::FieldTable(last));
        let mut table = FieldTable::default();
        table.insert(DEATHS.into(), AMQPValue::FieldArray(deaths));
        let message = read(&BasicProperties::default().with_headers(table), Vec::new());
        assert_eq!(message.header_text("x-death-queue"), Some("waybill.order.commands"));
        assert_eq!(message.header_text("x-death-reason"), Some("delivery_limit"));
        assert_eq!(message.header_int("x-death-count"), Some(1));
        let sent = write(&message);
        assert!(sent.headers().as_ref().is_none_or(|headers| headers.inner().is_empty()));
    }

    #[test]
    fn redeliveries_are_counted_by_the_header_else_by_the_flag() {
        let mut table = FieldTable::default();
        table.insert(DELIVERY_COUNT.into(), AMQPValue::LongLongInt(4));
        let counted = BasicProperties::default().with_headers(table);
        assert_eq!(delivery_count(&counted, true), 4);
        assert_eq!(delivery_count(&BasicProperties::default(), true), 1);
        assert_eq!(delivery_count(&BasicProperties::default(), false), 0);
    }
}
