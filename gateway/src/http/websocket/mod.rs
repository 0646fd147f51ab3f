//! GraphQL over WebSocket: the `graphql-transport-ws` protocol
//! (<https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md>), and the older `graphql-ws`
//! (<https://github.com/apollographql/subscriptions-transport-ws/blob/master/PROTOCOL.md>) for clients that know no other.
//!
//! Each socket has one task that reads and decides, one that writes, and one for each operation. An operation waits for
//! room in the socket's bounded send queue before it asks its stream for more, so that a slow client slows its own
//! streams down, costs no memory, and its messages are still read.
//!
//! Reading order: `upgrade` opens a socket, `session` serves it, `sign_in` and `handshake` say for whom, `operations` runs what it asks
//! for, `closing` ends it.

mod closing;
mod handshake;
mod io;
mod operations;
mod protocol;
mod send_queue;
mod session;
mod sign_in;
mod upgrade;

use std::sync::Arc;

use async_graphql::Executor;
use axum::http::{header, request::Parts};
use axum::response::Response;
use service_kit::http_server::ConnectionPermit;
use tokio::time::sleep_until;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

pub(super) use self::upgrade::Upgrade;
use self::{
    protocol::{CloseCode, Subprotocol},
    session::Session,
};
use super::{Shared, response::HttpError};
use crate::query::{ErrorCode, OVERLOAD_RETRY_AFTER};

/// Sockets idle most of their life: the buffers they keep are small, messages grow them.
const READ_BUFFER_BYTES: usize = 1024;
const WRITE_BUFFER_BYTES: usize = 4 * 1024;

/// Room for control frames and framing beside the largest message.
const WRITE_BUFFER_SLACK: usize = 64 * 1024;

/// Bytes of one incoming message. A longer one is not read, in whatever frames it comes.
const MAX_MESSAGE_BYTES: usize = 256 * 1024;

/// Accepts a socket, once the gateway has started and if there is room for one more.
pub(super) async fn accept<E: Executor>(
    shared: Arc<Shared<E>>,
    upgrade: Upgrade,
    parts: &Parts,
) -> Result<Response, HttpError> {
    let address = shared.rate_limits.address(parts);
    shared.rate_limits.check_address(address, 1).map_err(HttpError::RateLimited)?;
    started(&shared).await?;
    let permit = shared.admission.stream()?;
    // A header that is no text can't be a token either; an empty one is refused as such.
    let authorization =
        parts.headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or_default().to_owned());
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(shared.limits.max_outgoing_bytes + WRITE_BUFFER_SLACK)
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES));
    let connection = parts.extensions.get::<ConnectionPermit>().cloned();
    let response = upgrade.response();
    let tracker = shared.lifecycle.sockets.clone();
    tracker.spawn(async move {
        let _permits = (permit, connection);
        let subprotocol = upgrade.subprotocol;
        let Some(socket) = upgrade.socket(config).await else { return };
        let session = Session::new(
            socket,
            shared,
            subprotocol.unwrap_or(Subprotocol::GraphqlTransportWs),
            address,
            authorization,
        );
        if subprotocol.is_some() {
            session.run().await;
        } else {
            session.close(CloseCode::SubprotocolNotAcceptable).await;
        }
    });
    Ok(response)
}

/// Waits for the gateway to be ready for the first time. Once it was, sockets are accepted whatever is away: they hold
/// their subscriptions, whereas clients take a refused upgrade as final.
async fn started<E: Executor>(shared: &Shared<E>) -> Result<(), HttpError> {
    tokio::select! {
        biased;
        () = shared.readiness.started() => Ok(()),
        () = shared.lifecycle.closing.cancelled() => Err(not_ready()),
        () = sleep_until(shared.start_deadline) => Err(not_ready()),
    }
}

fn not_ready() -> HttpError {
    ErrorCode::ServiceUnavailable.error("the gateway is not ready").retry_after(OVERLOAD_RETRY_AFTER).into()
}
