//! A running subscription to orderUpdated.

use std::collections::VecDeque;

use serde_json::Value;
use testkit::GraphQlSocket;

use super::customer::ORDER_FIELDS;

/// A query that the gateway answers through order-service, which takes longer than starting a subscription.
const ROUND_TRIP: &str = r#"{ order(id: "019ab1f0-7b2a-7c3d-8e4f-5a6b7c8d9e0f") { id } }"#;

pub(crate) struct Updates {
    socket: GraphQlSocket,
    /// Messages that came in during a round trip.
    received: VecDeque<Value>,
}

impl Updates {
    /// Subscribes with these arguments. When this returns, the gateway has started the subscription: it has answered a
    /// query that was sent afterwards.
    pub(super) async fn subscribe(mut socket: GraphQlSocket, arguments: &str) -> Self {
        let query = format!(
            "subscription {{ orderUpdated{arguments} {{ cursor kind orderId version status previousStatus occurredAt \
             order {{ {ORDER_FIELDS} }} }} }}"
        );
        socket.subscribe("updates", &query).await;
        let mut updates = Self { socket, received: VecDeque::new() };
        updates.round_trip().await;
        updates
    }

    /// Waits until the gateway has answered a query that is sent now.
    async fn round_trip(&mut self) {
        self.socket.subscribe("round trip", ROUND_TRIP).await;
        loop {
            let message = self.socket.next().await;
            if message["id"] != "round trip" {
                self.received.push_back(message);
            } else if message["type"] == "complete" {
                return;
            }
        }
    }

    /// The next update.
    pub(crate) async fn next(&mut self) -> Value {
        let message = self.next_message().await;
        assert_eq!(message["type"], "next", "{message:#}");
        let payload = &message["payload"];
        assert!(payload.get("errors").is_none(), "{payload:#}");
        payload["data"]["orderUpdated"].clone()
    }

    /// The update of this version; earlier versions of the same order may come before it.
    pub(crate) async fn version(&mut self, version: u64) -> Value {
        loop {
            let update = self.next().await;
            let received = update["version"].as_u64().unwrap();
            assert!(received <= version, "version {version} was skipped: {update:#}");
            if received == version {
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

    /// The error code of the next message.
    pub(crate) async fn code(&mut self) -> String {
        let message = self.next_message().await;
        let payload = &message["payload"];
        let error = if message["type"] == "error" { &payload[0] } else { &payload["errors"][0] };
        error["extensions"]["code"].as_str().unwrap_or_else(|| panic!("{message:#}")).to_owned()
    }

    /// Whether the subscription has received nothing up to now.
    pub(crate) async fn is_silent(&mut self) -> bool {
        self.round_trip().await;
        self.received.is_empty()
    }

    /// The code with which the gateway closes the socket.
    pub(crate) async fn close_code(mut self) -> u16 {
        self.socket.closed().await.0
    }

    /// Resets the connection without a close frame, as a lost network does.
    pub(crate) fn loses_its_connection(self) {
        self.socket.reset();
    }

    async fn next_message(&mut self) -> Value {
        match self.received.pop_front() {
            Some(message) => message,
            None => self.socket.next().await,
        }
    }
}
