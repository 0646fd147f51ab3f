//! What a message carries once the broker has dead-lettered it: the headers that the AMQP transport makes of
//! RabbitMQ's own record. They tell of this one delivery and are not published again.

use bus::message::Message;

/// What all of their names begin with.
const PREFIX: &str = "x-death-";
/// The queue it was in.
pub(super) const QUEUE: &str = "x-death-queue";
/// `expired` or `delivery_limit`.
pub(super) const REASON: &str = "x-death-reason";
/// When, in unix seconds.
pub(super) const TIME: &str = "x-death-time";

/// Takes them off a message that is about to be published.
pub(super) fn forget(message: &mut Message) {
    message.headers.retain(|name, _| !name.starts_with(PREFIX));
}
