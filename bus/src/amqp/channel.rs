//! Calls on a channel: bounded in time, with errors in the transport contract's terms; and the acknowledgement of
//! deliveries, which goes over the channel that they came over.

use async_trait::async_trait;
use futures::FutureExt as _;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::{Acker, Channel, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use super::properties;
use crate::transport::{Acknowledge, Acknowledgement, Delivery, TransportError};

/// How long any single call to the broker may take. Declaring a quorum queue on a busy disk is the slowest.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// How long writing an acknowledgement may take.
const ACK_LIMIT: Duration = Duration::from_secs(5);
const REQUEUE: BasicNackOptions = BasicNackOptions { requeue: true, multiple: false };

/// Waits for the broker's answer, at most [`CALL_LIMIT`].
pub(super) async fn bounded<T>(call: impl Future<Output = lapin::Result<T>>) -> Result<T, TransportError> {
    match tokio::time::timeout(CALL_LIMIT, call).await {
        Ok(answer) => answer.map_err(|error| transport_error(&error)),
        Err(_) => Err(TransportError::Failed(format!("no answer within {CALL_LIMIT:?}"))),
    }
}

/// Converts an error. A channel that the broker closed with an error is a refusal; every other error may be transient.
pub(super) fn transport_error(error: &lapin::Error) -> TransportError {
    match error.kind() {
        ErrorKind::ProtocolError(refusal) if matches!(refusal.kind(), AMQPErrorKind::Soft(_)) => {
            TransportError::Refused(refusal.get_message().to_string())
        }
        ErrorKind::InvalidConnectionState(_) => TransportError::Disconnected,
        _ => TransportError::Failed(error.to_string()),
    }
}

/// Whether opening a channel failed for want of a channel number, or with the error of an earlier channel.
pub(super) fn is_of_another_channel(error: &lapin::Error) -> bool {
    match error.kind() {
        ErrorKind::ChannelsLimitReached => true,
        ErrorKind::ProtocolError(refusal) => matches!(refusal.kind(), AMQPErrorKind::Soft(_)),
        _ => false,
    }
}

/// Whether the broker answered that the queue or exchange does not exist.
pub(super) fn is_not_found(error: &lapin::Error) -> bool {
    let ErrorKind::ProtocolError(refusal) = error.kind() else { return false };
    matches!(refusal.kind(), AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND))
}

/// Returns the broker's reason if it answered that its user may not do it.
pub(super) fn forbidden(error: &lapin::Error) -> Option<String> {
    let ErrorKind::ProtocolError(refusal) = error.kind() else { return None };
    let is_forbidden = matches!(refusal.kind(), AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED));
    is_forbidden.then(|| refusal.get_message().to_string())
}

/// Converts lapin's delivery into one of the contract.
pub(super) fn delivery(received: lapin::message::Delivery, channel: &Arc<Channel>) -> Delivery {
    let count = properties::delivery_count(&received.properties, received.redelivered);
    let message = properties::read(&received.properties, received.data);
    let acker = ChannelAcker { acker: received.acker, _channel: Arc::clone(channel) };
    Delivery::new(message, count, Box::new(acker))
}

/// Acknowledges one delivery. lapin closes a channel without owners, so each delivery keeps its channel open.
#[derive(Debug)]
struct ChannelAcker {
    acker: Acker,
    _channel: Arc<Channel>,
}

#[async_trait]
impl Acknowledge for ChannelAcker {
    async fn acknowledge(self: Box<Self>, acknowledgement: Acknowledgement) {
        let acknowledging = async {
            match acknowledgement {
                Acknowledgement::Ack => self.acker.ack(BasicAckOptions::default()).await,
                Acknowledgement::Requeue => self.acker.nack(REQUEUE).await,
            }
        };
        let outcome = match (tokio::time::timeout(ACK_LIMIT, acknowledging).await, acknowledgement) {
            (Ok(Ok(true)), Acknowledgement::Ack) => "acked",
            (Ok(Ok(true)), Acknowledgement::Requeue) => "requeued",
            _ => {
                tracing::debug!(
                    ?acknowledgement,
                    "a delivery could not be acknowledged and will be redelivered"
                );
                "lost"
            }
        };
        metrics::counter!("waybill_settled_total", "outcome" => outcome).increment(1);
    }
}

impl Drop for ChannelAcker {
    fn drop(&mut self) {
        if self.acker.usable() {
            // The first poll hands the request over to lapin, which completes it by itself.
            drop(self.acker.nack(REQUEUE).now_or_never());
        }
    }
}
