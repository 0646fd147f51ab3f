//! Documents sent to a gateway that serves the API, over HTTP and through a socket.

use std::sync::Arc;

use gateway::auth::{Scopes, mint};
use serde_json::{Value, json};
use testkit::{GraphQlClient, GraphQlSocket};

use super::{ALL_SCOPES, SECRET, Services, TestApi, TestGateway, WAIT_LIMIT, test_api, toy::toy};

/// A gateway that serves the API over services in memory, to a client with every scope but orders:all.
pub(crate) struct ApiGateway {
    pub(crate) services: Arc<Services>,
    client: GraphQlClient,
    /// Serves until it is dropped.
    _gateway: TestGateway,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Transport {
    Http,
    Socket,
}

pub(crate) const TRANSPORTS: [Transport; 2] = [Transport::Http, Transport::Socket];

impl ApiGateway {
    pub(crate) async fn start() -> Self {
        Self::over(test_api()).await
    }

    pub(crate) async fn over(test: TestApi) -> Self {
        let gateway = TestGateway::serving(test.api, toy().1, Default::default()).await;
        let scopes = Scopes::from_claim(ALL_SCOPES);
        let token = mint(SECRET, "CUST01", scopes, std::time::Duration::from_secs(3600)).unwrap();
        let client = GraphQlClient::over(gateway.http.clone(), gateway.address.to_string()).with_token(token);
        Self { services: test.services, client, _gateway: gateway }
    }

    /// Runs a document with variables in JSON.
    pub(crate) async fn run(&self, transport: Transport, query: &str, variables: &str) -> Value {
        self.send(transport, &format!(r#"{{"query":{},"variables":{variables}}}"#, json!(query))).await
    }

    /// Sends a request's JSON; returns the response. One with a request error has no data, and over HTTP status 400.
    pub(crate) async fn send(&self, transport: Transport, request: &str) -> Value {
        match transport {
            Transport::Http => over_http(&self.client, request).await,
            Transport::Socket => through_socket(&mut self.socket().await, "1", request).await,
        }
    }

    /// The response's text over HTTP.
    pub(crate) async fn text(&self, query: &str) -> String {
        self.client.post(json!({ "query": query }).to_string()).send().await.unwrap().text().await.unwrap()
    }

    pub(crate) async fn socket(&self) -> GraphQlSocket {
        tokio::time::timeout(WAIT_LIMIT, self.client.connect()).await.unwrap().unwrap()
    }

    /// How many orders have been sent since the last call.
    pub(crate) fn orders_sent(&self) -> usize {
        std::mem::take(&mut *self.services.placements.lock().unwrap()).len()
    }
}

/// Sends a request's JSON over HTTP.
pub(crate) async fn over_http(client: &GraphQlClient, request: &str) -> Value {
    let reply = testkit::reply(client.post(request.to_owned())).await.unwrap();
    let expected = if reply.body.get("data").is_some() { 200 } else { 400 };
    assert_eq!(reply.status, expected, "{request}: {}", reply.body);
    without_traces(reply.body)
}

/// Sends a request's JSON through a socket, and receives the response of a query, a mutation, or a subscription that
/// ends with its first result.
pub(crate) async fn through_socket(socket: &mut GraphQlSocket, id: &str, request: &str) -> Value {
    socket.send_text(format!(r#"{{"type":"subscribe","id":"{id}","payload":{request}}}"#)).await;
    let message = socket.next().await;
    assert_eq!(message["id"], id, "{message}");
    match message["type"].as_str() {
        Some("next") => {
            assert_eq!(socket.next().await, json!({ "type": "complete", "id": id }));
            without_traces(message["payload"].clone())
        }
        Some("error") => without_traces(json!({ "errors": message["payload"] })),
        _ => panic!("{request}: {message}"),
    }
}

fn without_traces(mut response: Value) -> Value {
    for error in response["errors"].as_array_mut().into_iter().flatten() {
        error["extensions"].as_object_mut().unwrap().remove("traceId");
    }
    // Indexing has added it.
    if response["errors"].is_null() {
        response.as_object_mut().unwrap().remove("errors");
    }
    response
}
