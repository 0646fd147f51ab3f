//! The messages of both subprotocols, and the codes that sockets are closed with.

use std::{borrow::Cow, collections::HashMap};

use async_graphql::ServerError;
use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::http::body;
use crate::http::results::NextResult;
use crate::query::GraphqlRequest;

/// Clients choose ids; longer ones are refused.
const MAX_ID_BYTES: usize = 256;

/// A close frame's reason has room for 123 bytes (RFC 6455, section 5.5).
const MAX_REASON_BYTES: usize = 123;

/// What is spoken over a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subprotocol {
    GraphqlTransportWs,
    /// The older protocol, of the package subscriptions-transport-ws. As in the newer one, what is no message of it, an
    /// operation before the handshake, a second handshake and an id in use close the socket.
    GraphqlWs,
}

impl Subprotocol {
    /// In the order of preference.
    pub(super) const ALL: [Self; 2] = [Self::GraphqlTransportWs, Self::GraphqlWs];

    /// As handshakes name it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::GraphqlTransportWs => "graphql-transport-ws",
            Self::GraphqlWs => "graphql-ws",
        }
    }
}

pub(super) enum ClientMessage {
    ConnectionInit { payload: Map<String, Value> },
    Ping { payload: Option<Map<String, Value>> },
    Pong,
    Subscribe { id: String, request: Box<GraphqlRequest> },
    Complete { id: String },
    Terminate,
}

impl ClientMessage {
    /// Reads a message; the error tells the client what is wrong with it.
    pub(super) fn parse(text: &str, subprotocol: Subprotocol) -> Result<Self, &'static str> {
        let Ok(fields) = serde_json::from_str::<HashMap<String, &RawValue>>(text) else {
            return Err("a message must be a JSON object");
        };
        let read = |name| fields.get(name).and_then(|json| serde_json::from_str::<String>(json.get()).ok());
        let kind = read("type").ok_or("a message must have a type")?;
        let id = read("id").filter(|id| (1..=MAX_ID_BYTES).contains(&id.len()));
        let id = id.ok_or("id must be a string of 1 to 256 bytes");
        let payload = fields.get("payload").filter(|json| json.get() != "null");
        let object = |json: &&RawValue| {
            serde_json::from_str::<Map<String, Value>>(json.get()).map_err(|_| "payload must be an object")
        };
        match (kind.as_str(), subprotocol) {
            ("connection_init", _) => {
                Ok(Self::ConnectionInit { payload: payload.map(object).transpose()?.unwrap_or_default() })
            }
            ("ping", Subprotocol::GraphqlTransportWs) => {
                Ok(Self::Ping { payload: payload.map(object).transpose()? })
            }
            ("pong", Subprotocol::GraphqlTransportWs) => payload.map(object).transpose().map(|_| Self::Pong),
            ("complete", Subprotocol::GraphqlTransportWs) | ("stop", Subprotocol::GraphqlWs) => {
                Ok(Self::Complete { id: id? })
            }
            ("subscribe", Subprotocol::GraphqlTransportWs) | ("start", Subprotocol::GraphqlWs) => {
                let id = id?;
                let payload = payload.ok_or("an operation's message must have a payload")?;
                if !payload.get().starts_with('{') {
                    return Err("payload must be an object");
                }
                Ok(Self::Subscribe { id, request: Box::new(body::from_json(payload)?) })
            }
            ("connection_terminate", Subprotocol::GraphqlWs) => Ok(Self::Terminate),
            _ => Err("unknown message type"),
        }
    }
}

#[derive(Clone, Copy)]
pub(super) enum ServerMessage<'a> {
    ConnectionAck,
    /// Says that the gateway is there, in the protocol that has no pings.
    KeepAlive,
    /// Why a handshake fails, in the protocol whose clients don't read close codes.
    ConnectionError(&'a str),
    Pong(Option<&'a Map<String, Value>>),
    Next(&'a str, &'a NextResult),
    /// Ends the operation; carries the errors of a request that was not executed.
    Error(&'a str, &'a [ServerError]),
    Complete(&'a str),
}

/// A message as both protocols write it.
#[derive(Serialize)]
struct Envelope<'a, P> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<P>,
}

/// The older protocol's error is one object; its package also reads the list in it.
#[derive(Serialize)]
struct LegacyError<'a> {
    #[serde(flatten)]
    first: Option<&'a ServerError>,
    errors: &'a [ServerError],
}

impl ServerMessage<'_> {
    pub(super) fn to_json(self, subprotocol: Subprotocol) -> String {
        let is_legacy = subprotocol == Subprotocol::GraphqlWs;
        let next = if is_legacy { "data" } else { "next" };
        match self {
            Self::ConnectionAck => json(None, "connection_ack", None::<()>),
            Self::KeepAlive => json(None, "ka", None::<()>),
            Self::ConnectionError(message) => {
                json(None, "connection_error", Some(HashMap::from([("message", message)])))
            }
            Self::Pong(payload) => json(None, "pong", payload),
            Self::Next(id, payload) => json(Some(id), next, Some(payload)),
            Self::Error(id, errors) if is_legacy => {
                json(Some(id), "error", Some(LegacyError { first: errors.first(), errors }))
            }
            Self::Error(id, errors) => json(Some(id), "error", Some(errors)),
            Self::Complete(id) => json(Some(id), "complete", None::<()>),
        }
    }
}

fn json(id: Option<&str>, kind: &'static str, payload: Option<impl Serialize>) -> String {
    serde_json::to_string(&Envelope { id, r#type: kind, payload })
        .expect("messages are made of JSON's own types")
}

/// Why the gateway closes a socket.
#[derive(Debug)]
pub(super) enum CloseCode {
    /// The client asks for it.
    Normal,
    GoingAway,
    /// Bytes that are no WebSocket frames (RFC 6455, section 7.4.1).
    ProtocolError,
    /// A text message that is not UTF-8.
    InvalidText,
    MessageTooBig,
    /// What the socket or one of its subscriptions needs is away: the keys to check a token with, or the source of
    /// updates. Of the codes for it, this is one upon which clients connect again (they take 4500 and 1011 as final).
    TryAgainLater,
    /// The customer has as many sockets as one may have. Lost connections end within a minute, so that clients try again.
    TooManySockets,
    /// A message that is not one of the protocol's.
    BadRequest(&'static str),
    /// An operation before the handshake.
    Unauthorized,
    Forbidden,
    /// Not 4401, which clients take as final: upon 4403 they connect again, with the token that they have by then.
    TokenExpired,
    SubprotocolNotAcceptable,
    InitTimeout,
    /// An operation under an id that is in use.
    SubscriberExists(String),
    TooManyInits,
}

impl CloseCode {
    /// Whether clients connect again after this code, and send again what they have under way.
    pub(super) fn is_resumed(&self) -> bool {
        matches!(self, Self::GoingAway | Self::TryAgainLater | Self::TokenExpired)
    }

    pub(super) fn frame(&self) -> CloseFrame {
        let (code, reason): (u16, Cow<'_, str>) = match self {
            Self::Normal => (1000, "".into()),
            Self::GoingAway => (1001, "going away".into()),
            Self::ProtocolError => (1002, "protocol error".into()),
            Self::InvalidText => (1007, "text must be UTF-8".into()),
            Self::MessageTooBig => (1009, "message too big".into()),
            Self::TryAgainLater => (1013, "try again later".into()),
            Self::TooManySockets => (1013, "too many sockets of this customer".into()),
            Self::BadRequest(reason) => (4400, (*reason).into()),
            Self::Unauthorized => (4401, "Unauthorized".into()),
            Self::Forbidden => (4403, "Forbidden".into()),
            Self::TokenExpired => (4403, "token expired".into()),
            Self::SubprotocolNotAcceptable => (4406, "Subprotocol not acceptable".into()),
            Self::InitTimeout => (4408, "Connection initialisation timeout".into()),
            Self::SubscriberExists(id) => (4409, format!("Subscriber for {id} already exists").into()),
            Self::TooManyInits => (4429, "Too many initialisation requests".into()),
        };
        let end = reason.floor_char_boundary(MAX_REASON_BYTES);
        CloseFrame { code: code.into(), reason: reason[..end].into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_read_or_refused() {
        let samples = [
            r#"{"type":"connection_init","payload":{"authorization":"Bearer a.b.c"}}"#,
            r#"{"type":"ping","payload":{"a":[1,2.5,null]}}"#,
            r#"{"type":"pong"}"#,
            r#"{"id":"1","type":"subscribe","payload":{"query":"{ a }","operationName":null,"variables":{"a":1}}}"#,
            r#"{"id":"1","type":"start","payload":{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"ab"}}}}"#,
            r#"{"id":"1","type":"subscribe","payload":{"documentId":"ab","extensions":{"cost":true}}}"#,
            r#"{"id":"1","type":"complete"}"#,
            r#"{"id":"1","type":"stop"}"#,
            r#"{"type":"connection_terminate"}"#,
        ];
        let (mut read, mut refused) = (0, 0);
        for message in testkit::mutations(&samples, 20_000) {
            let Ok(text) = String::from_utf8(message) else { continue };
            for subprotocol in Subprotocol::ALL {
                match ClientMessage::parse(&text, subprotocol) {
                    Ok(_) => read += 1,
                    Err(_) => refused += 1,
                }
            }
        }
        assert!(read > 100 && refused > 100, "{read} read, {refused} refused");
    }

    #[test]
    fn reasons_are_cut_to_what_a_close_frame_holds() {
        let frame = CloseCode::SubscriberExists("ü".repeat(200)).frame();
        assert_eq!(u16::from(frame.code), 4409);
        assert!(frame.reason.len() <= MAX_REASON_BYTES);
        assert!(frame.reason.starts_with("Subscriber for ü"));
    }
}
