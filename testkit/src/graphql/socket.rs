use anyhow::{Result, bail, ensure};
use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::WAIT_LIMIT;

const SUBPROTOCOL: &str = "graphql-transport-ws";

/// A client of the graphql-transport-ws protocol.
///
/// Methods whose names begin with `try_` return errors and wait without a limit. The others panic, and wait up to
/// [`WAIT_LIMIT`].
pub struct GraphQlSocket {
    pub stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// What a socket receives next. Pings and pongs of the WebSocket layer are answered and skipped.
#[derive(Debug)]
pub enum Received {
    Message(Value),
    /// The connection has ended: code and reason of its close frame, if there was one.
    Closed(Option<(u16, String)>),
}

impl GraphQlSocket {
    /// Opens a socket of the gateway at `host:port`.
    pub async fn open(address: &str) -> Result<Self, Error> {
        Self::open_with(address, Some(SUBPROTOCOL), None).await
    }

    /// Opens a socket with another subprotocol or without one, and with an `Authorization` header.
    ///
    /// # Panics
    /// When address, subprotocol or header can't be part of a request.
    pub async fn open_with(
        address: &str,
        protocol: Option<&str>,
        authorization: Option<&str>,
    ) -> Result<Self, Error> {
        let mut request = format!("ws://{address}/graphql").into_client_request().expect("a valid address");
        for (name, value) in [("sec-websocket-protocol", protocol), ("authorization", authorization)] {
            if let Some(value) = value {
                request.headers_mut().insert(name, value.parse().expect("a valid header"));
            }
        }
        let (stream, _) = connect_async(request).await?;
        Ok(Self { stream })
    }

    /// Sends a message of the protocol.
    pub async fn try_send(&mut self, message: &Value) -> Result<()> {
        Ok(self.stream.send(Message::text(message.to_string())).await?)
    }

    /// Receives the next message or the end of the connection.
    pub async fn try_receive(&mut self) -> Result<Received> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Text(text))) => return Ok(Received::Message(serde_json::from_str(&text)?)),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(frame))) => {
                    let frame = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                    return Ok(Received::Closed(frame));
                }
                Some(Ok(other)) => bail!("not a text message: {other:?}"),
                Some(Err(error)) => return Err(error.into()),
                None => return Ok(Received::Closed(None)),
            }
        }
    }

    /// Sends `connection_init` and receives `connection_ack`.
    pub async fn try_init(&mut self, payload: Value) -> Result<()> {
        self.try_send(&json!({ "type": "connection_init", "payload": payload })).await?;
        match self.try_receive().await? {
            Received::Message(message) => {
                ensure!(message == json!({ "type": "connection_ack" }), "no connection_ack: {message}");
                Ok(())
            }
            Received::Closed(frame) => bail!("no connection_ack, but closed: {frame:?}"),
        }
    }

    /// Subscribes to a document with variables, or runs it once if it is a query or mutation.
    pub async fn try_subscribe(&mut self, id: &str, query: &str, variables: &Value) -> Result<()> {
        let payload = json!({ "query": query, "variables": variables });
        self.try_send(&json!({ "type": "subscribe", "id": id, "payload": payload })).await
    }

    pub async fn send(&mut self, message: Value) {
        self.send_text(message.to_string()).await;
    }

    /// Sends any text, which may be no message of the protocol.
    pub async fn send_text(&mut self, text: String) {
        self.stream.send(Message::text(text)).await.expect("the gateway takes a frame");
    }

    /// [`GraphQlSocket::try_init`].
    pub async fn init(&mut self, payload: Value) {
        let init = timeout(WAIT_LIMIT, self.try_init(payload)).await;
        init.expect("connection_ack comes in time").expect("the gateway accepts the connection");
    }

    /// [`GraphQlSocket::try_subscribe`] without variables.
    pub async fn subscribe(&mut self, id: &str, query: &str) {
        self.send(json!({ "type": "subscribe", "id": id, "payload": { "query": query } })).await;
    }

    /// [`GraphQlSocket::try_receive`].
    pub async fn receive(&mut self) -> Received {
        let received = timeout(WAIT_LIMIT, self.try_receive()).await;
        received.expect("something comes in time").expect("the connection is sound")
    }

    /// The next message.
    pub async fn next(&mut self) -> Value {
        match self.receive().await {
            Received::Message(message) => message,
            Received::Closed(frame) => panic!("expected a message, but the socket was closed: {frame:?}"),
        }
    }

    /// Code and reason of the close frame that ends the connection, whatever messages come before it.
    pub async fn closed(&mut self) -> (u16, String) {
        self.ended().await.1
    }

    /// The messages that come before the end of the connection, and code and reason of its close frame.
    pub async fn ended(&mut self) -> (Vec<Value>, (u16, String)) {
        let mut messages = Vec::new();
        loop {
            match self.receive().await {
                Received::Message(message) => messages.push(message),
                Received::Closed(Some(frame)) => return (messages, frame),
                Received::Closed(None) => panic!("the connection ended without a close frame"),
            }
        }
    }

    /// Resets the connection without a close frame, as a lost network does.
    pub fn reset(self) {
        if let MaybeTlsStream::Plain(stream) = self.stream.get_ref() {
            stream.set_zero_linger().expect("a socket that is open");
        }
    }
}
