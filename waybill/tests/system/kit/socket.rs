//! A client of the graphql-transport-ws protocol.

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use testkit::WAIT_LIMIT;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::customer::ORDER_FIELDS;

/// A question that goes all the way to order-service and back, which takes longer than taking up a subscription.
const SETTLING: &str = r#"{ order(id: "019ab1f0-7b2a-7c3d-8e4f-5a6b7c8d9e0f") { id } }"#;

/// An open socket.
pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// What a socket says next.
#[derive(Debug)]
pub(crate) enum Said {
    Message(Value),
    Closed(Option<u16>),
}

impl Socket {
    pub(super) async fn open(address: &str) -> Self {
        let mut request = format!("ws://{address}/graphql").into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "graphql-transport-ws".parse().unwrap());
        let (stream, _) = connect_async(request).await.unwrap();
        Self { stream }
    }

    /// Sends a message of the protocol.
    pub(crate) async fn says(&mut self, message: Value) {
        self.stream.send(Message::text(message.to_string())).await.unwrap();
    }

    /// What comes next, pings apart.
    pub(crate) async fn hears(&mut self) -> Said {
        let hear = async {
            loop {
                match self.stream.next().await {
                    Some(Ok(Message::Text(text))) => {
                        let message: Value = serde_json::from_str(&text).unwrap();
                        if message["type"] == "ping" {
                            self.says(json!({ "type": "pong" })).await;
                            continue;
                        }
                        return Said::Message(message);
                    }
                    Some(Ok(Message::Close(frame))) => {
                        return Said::Closed(frame.map(|frame| frame.code.into()));
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return Said::Closed(None),
                }
            }
        };
        tokio::time::timeout(WAIT_LIMIT, hear).await.expect("the socket said nothing in time")
    }

    /// The code with which the gateway closes the socket, whatever it says before.
    pub(crate) async fn close_code(mut self) -> Option<u16> {
        loop {
            if let Said::Closed(code) = self.hears().await {
                return code;
            }
        }
    }

    async fn hears_message(&mut self) -> Value {
        match self.hears().await {
            Said::Message(message) => message,
            Said::Closed(code) => panic!("the socket was closed: {code:?}"),
        }
    }

    /// Sends `connection_init` with the token.
    pub(crate) async fn introduces_itself(&mut self, token: Option<&str>) {
        let payload = token.map(|token| json!({ "Authorization": format!("Bearer {token}") }));
        self.says(json!({ "type": "connection_init", "payload": payload })).await;
    }

    /// Signs in, which must work.
    pub(crate) async fn signs_in(&mut self, token: Option<&str>) {
        self.introduces_itself(token).await;
        assert_eq!(self.hears_message().await, json!({ "type": "connection_ack" }));
    }

    /// Begins to follow what the arguments say, and goes on as that subscription. Returns as soon as the gateway has
    /// taken it up: a query that is sent after it has been answered by then.
    pub(crate) async fn subscribes(mut self, arguments: &str) -> Updates {
        let query = format!(
            "subscription {{ orderUpdated{arguments} {{ cursor kind orderId version status previousStatus occurredAt \
             order {{ {ORDER_FIELDS} }} }} }}"
        );
        self.says(json!({ "id": "updates", "type": "subscribe", "payload": { "query": query } })).await;
        let waiting = self.settles().await;
        Updates { socket: self, waiting }
    }

    /// Waits until the gateway has got to what was sent so far; answers what it said meanwhile.
    async fn settles(&mut self) -> Vec<Value> {
        self.says(json!({ "id": "settled", "type": "subscribe", "payload": { "query": SETTLING } })).await;
        let mut heard = Vec::new();
        loop {
            let message = self.hears_message().await;
            let ours = message["id"] == "settled";
            match message["type"].as_str() {
                Some("complete") if ours => return heard,
                _ if ours => {}
                _ => heard.push(message),
            }
        }
    }
}

/// A running subscription to orderUpdated.
pub(crate) struct Updates {
    socket: Socket,
    waiting: Vec<Value>,
}

impl Updates {
    /// The next update.
    pub(crate) async fn next(&mut self) -> Value {
        let message = self.next_message().await;
        assert_eq!(message["type"], "next", "{message:#}");
        let payload = &message["payload"];
        assert!(payload.get("errors").is_none(), "{payload:#}");
        payload["data"]["orderUpdated"].clone()
    }

    /// The update of this version, whatever of the same order is told before.
    pub(crate) async fn version(&mut self, version: u32) -> Value {
        loop {
            let update = self.next().await;
            let told = update["version"].as_u64().unwrap();
            assert!(told <= u64::from(version), "version {version} was passed over: {update:#}");
            if told == u64::from(version) {
                return update;
            }
        }
    }

    /// The next updates.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<Value> {
        let mut updates = Vec::with_capacity(count);
        for _ in 0..count {
            updates.push(self.next().await);
        }
        updates
    }

    /// The code of the error that is said next.
    pub(crate) async fn code(&mut self) -> String {
        let message = self.next_message().await;
        let payload = &message["payload"];
        let error = if message["type"] == "error" { &payload[0] } else { &payload["errors"][0] };
        error["extensions"]["code"].as_str().unwrap_or_else(|| panic!("{message:#}")).to_owned()
    }

    /// Whether nothing was told up to now.
    pub(crate) async fn said_nothing(&mut self) -> bool {
        self.waiting.extend(self.socket.settles().await);
        self.waiting.is_empty()
    }

    /// The code with which the gateway closes the socket.
    pub(crate) async fn close_code(self) -> Option<u16> {
        self.socket.close_code().await
    }

    /// Drops the connection without a word, as a lost network does.
    pub(crate) fn loses_its_connection(self) {
        if let MaybeTlsStream::Plain(stream) = self.socket.stream.get_ref() {
            // A reset instead of an end.
            stream.set_zero_linger().unwrap();
        }
    }

    async fn next_message(&mut self) -> Value {
        if !self.waiting.is_empty() {
            return self.waiting.remove(0);
        }
        self.socket.hears_message().await
    }
}
