//! An open shop, and whom one meets there.

use std::time::Duration;

use super::token::Token;
use super::{Customer, Socket};

/// A gateway that answers.
#[derive(Debug, Clone)]
pub(crate) struct Shop {
    address: String,
    http: reqwest::Client,
}

impl Shop {
    pub(crate) fn at(address: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
        Self { address: address.to_owned(), http }
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Somebody who may read, place and fulfil orders of their own.
    pub(crate) fn customer(&self, id: &str) -> Customer {
        self.bearer(Token::of(id))
    }

    /// Somebody with a token of whatever kind.
    pub(crate) fn bearer(&self, token: Token) -> Customer {
        Customer::new(self.clone(), Some(token.sign()))
    }

    /// Somebody with a text that may be no token.
    pub(crate) fn bearer_of_text(&self, token: &str) -> Customer {
        Customer::new(self.clone(), Some(token.to_owned()))
    }

    /// Somebody who hasn't signed in.
    pub(crate) fn stranger(&self) -> Customer {
        Customer::new(self.clone(), None)
    }

    /// A POST to the API with any body.
    pub(crate) fn post(&self, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        self.http.post(format!("http://{}/graphql", self.address)).body(body)
    }

    /// A socket that has said nothing yet.
    pub(crate) async fn socket(&self) -> Socket {
        Socket::open(&self.address).await
    }
}
