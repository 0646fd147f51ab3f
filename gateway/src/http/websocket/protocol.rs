//! The protocol's messages and close codes.

use std::{borrow::Cow, collections::HashMap};

use async_graphql::ServerError;
use axum::extract::ws::CloseFrame;
use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};

use crate::http::body;
use crate::query::{ExecutionResult, GraphqlRequest};

/// Clients choose ids; longer ones are refused.
const MAX_ID_BYTES: usize = 256;

/// A close frame's reason has room for 123 bytes (RFC 6455, section 5.5).
const MAX_REASON_BYTES: usize = 123;

pub(super) enum ClientMessage {
    ConnectionInit { payload: Map<String, Value> },
    Ping { payload: Option<Map<String, Value>> },
    Pong,
    Subscribe { id: String, request: Box<GraphqlRequest> },
    Complete { id: String },
}

impl ClientMessage {
    /// Reads a message; the error tells the client what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
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
        match kind.as_str() {
            "connection_init" => {
                Ok(Self::ConnectionInit { payload: payload.map(object).transpose()?.unwrap_or_default() })
            }
            "ping" => Ok(Self::Ping { payload: payload.map(object).transpose()? }),
            "pong" => payload.map(object).transpose().map(|_| Self::Pong),
            "complete" => Ok(Self::Complete { id: id? }),
            "subscribe" => {
                let id = id?;
                let payload = payload.ok_or("a subscribe message must have a payload")?;
                if !payload.get().starts_with('{') {
                    return Err("payload must be an object");
                }
                Ok(Self::Subscribe { id, request: Box::new(body::from_json(payload)?) })
            }
            _ => Err("unknown message type"),
        }
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ServerMessage<'a> {
    ConnectionAck,
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<Map<String, Value>>,
    },
    Next {
        id: &'a str,
        payload: NextPayload<'a>,
    },
    /// Ends the operation; carries the errors of a request that was not executed.
    Error {
        id: &'a str,
        payload: &'a [ServerError],
    },
    Complete {
        id: &'a str,
    },
}

/// One result of an operation.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum NextPayload<'a> {
    Own(&'a ExecutionResult),
    /// The same bytes for several operations.
    Shared(&'a RawValue),
}

impl ServerMessage<'_> {
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("messages are made of JSON's own types")
    }
}

/// Why the gateway closes a socket.
#[derive(Debug)]
pub(super) enum CloseCode {
    GoingAway,
    MessageTooBig,
    /// What the socket or one of its subscriptions needs is away: the keys to check a token with, or the source of
    /// updates. Of the codes for it, this is one upon which clients connect again (they take 4500 and 1011 as final).
    TryAgainLater,
    /// A message that is not one of the protocol's.
    BadRequest(&'static str),
    /// An operation before the handshake.
    Unauthorized,
    Forbidden,
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
            Self::GoingAway => (1001, "going away".into()),
            Self::MessageTooBig => (1009, "message too big".into()),
            Self::TryAgainLater => (1013, "try again later".into()),
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
        CloseFrame { code, reason: reason[..end].into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_cut_to_what_a_close_frame_holds() {
        let frame = CloseCode::SubscriberExists("ü".repeat(200)).frame();
        assert_eq!(frame.code, 4409);
        assert!(frame.reason.len() <= MAX_REASON_BYTES);
        assert!(frame.reason.starts_with("Subscriber for ü"));
    }
}
