//! GraphQL over WebSocket: the `graphql-transport-ws` protocol
//! (<https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md>).
//!
//! Each socket has one task that reads and decides, one that writes, and one for each operation. An operation waits for
//! room in the socket's bounded send queue before it asks its stream for more, so that a slow client slows its own
//! streams down, costs no memory, and its messages are still read.

mod operations;
mod protocol;
mod send_queue;
mod session;

use std::sync::Arc;

use async_graphql::Executor;
use axum::http::{header, request::Parts};
use axum::{extract::WebSocketUpgrade, response::Response};
use service_kit::http_server::ConnectionPermit;
use tokio::time::sleep_until;

use self::{protocol::CloseCode, session::Session};
use super::{Shared, response::HttpError};
use crate::query::{ErrorCode, OVERLOAD_RETRY_AFTER, overloaded};

const PROTOCOL: &str = "graphql-transport-ws";

/// Sockets idle most of their life: the buffers they keep are small, messages grow them.
const READ_BUFFER_BYTES: usize = 1024;
const WRITE_BUFFER_BYTES: usize = 4 * 1024;

/// Room for control frames and framing beside the largest message.
const WRITE_BUFFER_SLACK: usize = 64 * 1024;

/// Bytes of one incoming message.
const MAX_MESSAGE_BYTES: usize = 256 * 1024;

/// Messages up to this many times the limit are read, so that the client receives the close code; larger ones cut the
/// connection.
const READ_PAST_LIMIT: usize = 4;

/// Accepts a socket, once the gateway has started and if there is room for one more.
pub(super) async fn accept<E: Executor>(
    shared: Arc<Shared<E>>,
    mut upgrade: WebSocketUpgrade,
    parts: &Parts,
) -> Result<Response, HttpError> {
    started(&shared).await?;
    let permit = Arc::clone(&shared.sockets).try_acquire_owned();
    let permit = permit.map_err(|_| overloaded("the gateway is at its limit of sockets"))?;
    let speaks_protocol = upgrade.requested_protocols().any(|protocol| protocol == PROTOCOL);
    let offered = upgrade.requested_protocols().next().cloned();
    if speaks_protocol {
        upgrade = upgrade.protocols([PROTOCOL]);
    } else if let Some(offered) = offered {
        // Clients fail a handshake that selects none of theirs, and would never see the close code.
        upgrade.set_selected_protocol(offered);
    }
    // A header that is no text can't be a token either; an empty one is refused as such.
    let authorization =
        parts.headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or_default().to_owned());
    let limits = &shared.limits;
    let largest_read = MAX_MESSAGE_BYTES * READ_PAST_LIMIT;
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(limits.max_outgoing_bytes + WRITE_BUFFER_SLACK)
        .max_message_size(largest_read)
        .max_frame_size(largest_read);
    let tracker = shared.lifecycle.sockets.clone();
    let connection = parts.extensions.get::<ConnectionPermit>().cloned();
    Ok(upgrade.on_upgrade(move |socket| {
        tracker.track_future(async move {
            let _permits = (permit, connection);
            let session = Session::new(socket, shared, authorization);
            if speaks_protocol {
                session.run().await;
            } else {
                session.close(CloseCode::SubprotocolNotAcceptable).await;
            }
        })
    }))
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
