//! Calls on a channel: bounded in time, with errors in the transport contract's terms.

use lapin::ErrorKind;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use std::time::Duration;

use crate::transport::TransportError;

/// How long any single call to the broker may take. Declaring a quorum queue on a busy disk is the slowest.
const CALL_LIMIT: Duration = Duration::from_secs(10);

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
