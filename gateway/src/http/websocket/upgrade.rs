//! The opening handshake: from an HTTP request to a socket that speaks one subprotocol.

use axum::body::Body;
use axum::extract::{FromRequestParts as _, WebSocketUpgrade};
use axum::http::{HeaderValue, StatusCode, header, request::Parts};
use axum::response::Response;
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::io::SocketIo;
use super::protocol::Subprotocol;
use crate::http::response::HttpError;

/// A socket, and the byte stream below it.
pub(super) struct Socket {
    pub(super) messages: WebSocketStream<SocketIo>,
    pub(super) io: SocketIo,
}

/// A request for a socket that follows RFC 6455.
pub(in crate::http) struct Upgrade {
    on_upgrade: OnUpgrade,
    accept_key: String,
    /// What the client offers that the gateway speaks.
    pub(super) subprotocol: Option<Subprotocol>,
    selected: Option<HeaderValue>,
}

impl Upgrade {
    pub(in crate::http) async fn from_parts(parts: &mut Parts) -> Result<Self, HttpError> {
        let on_upgrade = parts.extensions.get::<OnUpgrade>().cloned();
        // axum's own socket hides the byte stream, and what it doesn't close can't be closed here: it only checks.
        let checked = WebSocketUpgrade::from_request_parts(parts, &()).await;
        let checked = checked.map_err(|rejection| HttpError::of_upgrade(&parts.headers, &rejection))?;
        let key = parts.headers.get(header::SEC_WEBSOCKET_KEY);
        let (Some(on_upgrade), Some(key)) = (on_upgrade, key) else {
            return Err(HttpError::BadRequest("a WebSocket is opened over HTTP/1.1".into()));
        };
        let subprotocol = Subprotocol::ALL
            .into_iter()
            .find(|known| checked.requested_protocols().any(|offered| offered == known.name()));
        // Clients fail a handshake that selects none of theirs, and would never see the close code.
        let selected = match subprotocol {
            Some(subprotocol) => Some(HeaderValue::from_static(subprotocol.name())),
            None => checked.requested_protocols().next().cloned(),
        };
        Ok(Self { on_upgrade, accept_key: derive_accept_key(key.as_bytes()), subprotocol, selected })
    }

    /// Returns the response that switches protocols.
    pub(super) fn response(&self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        let accept_key = HeaderValue::from_str(&self.accept_key).expect("the key is base64");
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept_key);
        if let Some(selected) = &self.selected {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, selected.clone());
        }
        response
    }

    /// Waits until the response has been sent; none if the connection is lost before.
    pub(super) async fn socket(self, config: WebSocketConfig) -> Option<Socket> {
        let upgraded = self.on_upgrade.await.ok()?;
        let io = SocketIo::new(upgraded);
        let messages = WebSocketStream::from_raw_socket(io.clone(), Role::Server, Some(config)).await;
        Some(Socket { messages, io })
    }
}
