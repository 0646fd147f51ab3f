//! The protocol's messages.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::http::{engine::GraphqlRequest, outcome::GraphqlResult};

/// Ids are the client's to choose; longer ones are refused.
const MAX_ID_BYTES: usize = 256;

/// What a client may send.
#[derive(Debug)]
pub(super) enum ClientMessage {
    ConnectionInit { payload: Map<String, Value> },
    Ping { payload: Option<Map<String, Value>> },
    Pong,
    Subscribe { id: String, request: GraphqlRequest },
    Complete { id: String },
}

impl ClientMessage {
    /// Reads a message; an error says, fit for a client, what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let Ok(Value::Object(mut fields)) = serde_json::from_str(text) else {
            return Err("a message must be a JSON object");
        };
        let Some(Value::String(kind)) = fields.remove("type") else {
            return Err("a message must have a type");
        };
        match kind.as_str() {
            "connection_init" => {
                Ok(Self::ConnectionInit { payload: optional_payload(&mut fields)?.unwrap_or_default() })
            }
            "ping" => Ok(Self::Ping { payload: optional_payload(&mut fields)? }),
            "pong" => optional_payload(&mut fields).map(|_| Self::Pong),
            "complete" => Ok(Self::Complete { id: id(&mut fields)? }),
            "subscribe" => {
                let id = id(&mut fields)?;
                let payload =
                    optional_payload(&mut fields)?.ok_or("a subscribe message must have a payload")?;
                let request = GraphqlRequest::from_json(payload)?;
                Ok(Self::Subscribe { id, request })
            }
            _ => Err("unknown message type"),
        }
    }
}

fn id(fields: &mut Map<String, Value>) -> Result<String, &'static str> {
    match fields.remove("id") {
        Some(Value::String(id)) if (1..=MAX_ID_BYTES).contains(&id.len()) => Ok(id),
        _ => Err("id must be a string of 1 to 256 bytes"),
    }
}

fn optional_payload(fields: &mut Map<String, Value>) -> Result<Option<Map<String, Value>>, &'static str> {
    match fields.remove("payload") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(payload)) => Ok(Some(payload)),
        Some(_) => Err("payload must be an object"),
    }
}

/// What the gateway sends.
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
        payload: &'a GraphqlResult,
    },
    /// Ends the operation; carries the errors of a request that was not executed.
    Error {
        id: &'a str,
        payload: &'a [async_graphql::ServerError],
    },
    Complete {
        id: &'a str,
    },
}

impl ServerMessage<'_> {
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("messages are made of JSON's own types")
    }
}
