//! What the broker itself dead-lettered, told in the words of our own dead letters.

use schema::time::Timestamp;

use super::properties::{DEATH_COUNT, DEATH_QUEUE, DEATH_REASON, DEATH_TIME};
use crate::failure::FailureCode;
use crate::message::header;
use crate::transport::Delivery;

/// Adds the headers that a message lacks which the broker gave up on: delivered too often, or too long in a
/// queue. A message that we gave up on has them.
pub(super) fn explained(mut delivery: Delivery) -> Delivery {
    let message = &mut delivery.message;
    if message.headers.contains_key(header::FAILURE_CODE) {
        return delivery;
    }
    let Some(queue) = message.header_text(DEATH_QUEUE).map(str::to_owned) else { return delivery };
    let reason = message.header_text(DEATH_REASON).unwrap_or("unknown");
    let count = message.header_int(DEATH_COUNT).unwrap_or(1);
    let text = format!("the broker gave up on delivering it from {queue}: {reason} ({count} times)");
    let failed_at = message
        .header_int(DEATH_TIME)
        .and_then(|seconds| seconds.checked_mul(1_000))
        .and_then(Timestamp::from_unix_ms);
    message.set_header(header::FAILURE_CODE, FailureCode::Undeliverable.as_str().into());
    message.set_header(header::FAILURE_MESSAGE, text.into());
    message.set_header(header::ORIGIN_QUEUE, queue.into());
    if let Some(failed_at) = failed_at {
        message.set_header(header::FAILED_AT, failed_at.to_string().into());
    }
    delivery
}
