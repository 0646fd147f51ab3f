use anyhow::{Context as _, Result};
use reqwest::{Body, ClientBuilder, Method, RequestBuilder};
use serde_json::{Value, json};

use super::GraphQlSocket;
use crate::WAIT_LIMIT;

/// A client of one gateway. Clones share its connections.
#[derive(Debug, Clone)]
pub struct GraphQlClient {
    http: reqwest::Client,
    address: String,
    token: Option<String>,
}

/// An answer over HTTP whose body is JSON.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub body: Value,
}

impl Reply {
    /// The data of an answer without errors.
    ///
    /// # Panics
    /// When the answer has errors.
    #[must_use]
    #[track_caller]
    pub fn data(self) -> Value {
        assert!(self.body.get("errors").is_none(), "{:#}", self.body);
        self.body["data"].clone()
    }

    /// The code of the first error.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.body["errors"][0]["extensions"]["code"].as_str()
    }
}

impl GraphQlClient {
    /// A client without a token of the gateway at `host:port`.
    ///
    /// # Panics
    /// When no HTTP client can be made.
    #[must_use]
    pub fn new(address: impl Into<String>) -> Self {
        Self::over(
            http_client().timeout(2 * WAIT_LIMIT).build().expect("an HTTP client can be made"),
            address,
        )
    }

    /// As [`GraphQlClient::new`], with timeouts and connections of the caller's.
    #[must_use]
    pub fn over(http: reqwest::Client, address: impl Into<String>) -> Self {
        Self { http, address: address.into(), token: None }
    }

    /// The same client with a token, which may be malformed.
    #[must_use]
    pub fn with_token(&self, token: impl Into<String>) -> Self {
        Self { token: Some(token.into()), ..self.clone() }
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Any request to the gateway, with the client's token.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("http://{}{path}", self.address));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// A POST of a body that is declared to be JSON, to the GraphQL endpoint.
    pub fn post(&self, body: impl Into<Body>) -> RequestBuilder {
        self.request(Method::POST, "/graphql")
            .header("accept", "application/graphql-response+json")
            .header("content-type", "application/json")
            .body(body)
    }

    /// Sends a document and its variables.
    pub async fn execute(&self, query: &str, variables: &Value) -> Result<Reply> {
        reply(self.post(json!({ "query": query, "variables": variables }).to_string())).await
    }

    /// Opens a socket that has not sent `connection_init`.
    pub async fn socket(&self) -> Result<GraphQlSocket> {
        Ok(GraphQlSocket::open(&self.address).await?)
    }

    /// Opens a socket and initialises it with the client's token.
    pub async fn connect(&self) -> Result<GraphQlSocket> {
        let mut socket = self.socket().await?;
        let payload = self.token.as_ref().map(|token| json!({ "authorization": format!("Bearer {token}") }));
        socket.try_init(payload.into()).await?;
        Ok(socket)
    }
}

/// Sends a request. An answer that isn't JSON is an error.
pub async fn reply(request: RequestBuilder) -> Result<Reply> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    let text = response.text().await?;
    let body = serde_json::from_str(&text).with_context(|| format!("{status}: {text:?}"))?;
    Ok(Reply { status, body })
}

/// Whether a request failed before there was a connection, so that the gateway has seen nothing of it.
#[must_use]
pub fn refused_connection(error: &anyhow::Error) -> bool {
    error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect)
}

/// An HTTP client that ignores the environment's proxies, before its timeouts are set.
pub fn http_client() -> ClientBuilder {
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().no_proxy()
}
