//! Signing keys that come, change and go while the gateway runs.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};
use std::time::Duration;

use axum::{Router, extract::State, http::StatusCode, routing::get};
use bus::clock::SystemClock;
use gateway::auth::{AuthError, Authenticator, KeySource};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use service_kit::{Readiness, config::Secret};
use testkit::eventually;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Error;
use tokio_util::sync::CancellationToken;

use crate::{
    auth_tokens::{OTHER_RSA, claims, jwks_config, public, rsa, sign},
    kit::{Options, TestGateway, answer, code},
};

/// An identity provider: what it answers, and how often it was asked.
#[derive(Clone, Default)]
struct Provider {
    answer: Arc<Mutex<Option<String>>>,
    asked: Arc<AtomicUsize>,
}

impl Provider {
    async fn start(&self) -> String {
        async fn keys(State(provider): State<Provider>) -> (StatusCode, String) {
            provider.asked.fetch_add(1, SeqCst);
            match provider.answer.lock().unwrap().clone() {
                Some(keys) => (StatusCode::OK, keys),
                None => (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
            }
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/keys", get(keys)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}/keys")
    }

    fn publish(&self, keys: &[Value]) {
        *self.answer.lock().unwrap() = Some(json!({ "keys": keys }).to_string());
    }

    fn fail(&self) {
        *self.answer.lock().unwrap() = None;
    }
}

fn bearer(key: &EncodingKey, kid: &str) -> String {
    format!("Bearer {}", sign(key, Algorithm::RS256, Some(kid), &claims()))
}

async fn accepts(authenticator: &Authenticator, bearer: &str) -> bool {
    matches!(authenticator.authenticate(Some(bearer)).await, Ok(Some(_)))
}

#[tokio::test]
async fn keys_are_read_by_address_and_kept_while_it_is_away() {
    let provider = Provider::default();
    let url = provider.start().await;
    let authenticator =
        Authenticator::new(jwks_config(KeySource::Url(Secret::new(url))), Arc::new(SystemClock)).unwrap();
    let token = bearer(&rsa(), "one");
    assert_eq!(authenticator.authenticate(Some(&token)).await, Err(AuthError::Unavailable));

    provider.publish(&[public(&rsa(), Algorithm::RS256, "one")]);
    let shutdown = CancellationToken::new();
    let (readiness, keys, stop) = (Readiness::default(), authenticator.clone(), shutdown.clone());
    let condition = readiness.condition("signing keys");
    let refreshing = tokio::spawn(async move { keys.refresh_jwks(&condition, stop).await });
    eventually("the keys are read", async || readiness.report().ready).await;
    assert!(accepts(&authenticator, &token).await);

    provider.fail();
    assert!(accepts(&authenticator, &token).await);
    shutdown.cancel();
    refreshing.await.unwrap();
}

#[tokio::test]
async fn unknown_key_ids_cause_no_more_than_one_read() {
    let provider = Provider::default();
    provider.publish(&[public(&rsa(), Algorithm::RS256, "one")]);
    let url = provider.start().await;
    let authenticator =
        Authenticator::new(jwks_config(KeySource::Url(Secret::new(url))), Arc::new(SystemClock)).unwrap();
    let attempts = (0..50).map(|number| {
        let authenticator = authenticator.clone();
        let token = bearer(&rsa(), &format!("made up {number}"));
        tokio::spawn(async move { authenticator.authenticate(Some(&token)).await })
    });
    for attempt in futures::future::join_all(attempts).await {
        assert_eq!(attempt.unwrap(), Err(AuthError::BadToken));
    }
    assert_eq!(provider.asked.load(SeqCst), 1);
    assert!(accepts(&authenticator, &bearer(&rsa(), "one")).await);
}

#[tokio::test]
async fn answers_that_are_no_key_set_leave_the_gateway_unready() {
    let provider = Provider::default();
    let huge = format!(r#"{{"keys":[],"padding":"{}"}}"#, "x".repeat(1024 * 1024));
    for key_set in ["", "[]", "{}", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#, &huge] {
        *provider.answer.lock().unwrap() = Some(key_set.to_owned());
        let source = KeySource::Url(Secret::new(provider.start().await));
        let gateway = TestGateway::with(Options { auth: jwks_config(source), ..Options::default() }).await;
        let hello = gateway.post(&json!({ "query": "{ hello }" }));
        let (status, refused) = answer(hello.header("authorization", bearer(&rsa(), "one"))).await;
        assert_eq!((status, code(&refused)), (503, "SERVICE_UNAVAILABLE"));
        let (status, ready) = answer(gateway.http.get(gateway.url("/readyz"))).await;
        assert_eq!((status, &ready["missing"]), (503, &json!(["signing keys"])));
    }
}

#[tokio::test]
async fn a_changed_file_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let publish = |key: &EncodingKey, kid: &str| {
        let keys = json!({ "keys": [public(key, Algorithm::RS256, kid)] });
        std::fs::write(&path, keys.to_string()).unwrap();
    };
    let other = EncodingKey::from_rsa_pem(OTHER_RSA).unwrap();
    publish(&rsa(), "one");
    let authenticator =
        Authenticator::new(jwks_config(KeySource::File(path.clone())), Arc::new(SystemClock)).unwrap();
    let shutdown = CancellationToken::new();
    let (keys, stop) = (authenticator.clone(), shutdown.clone());
    let condition = Readiness::default().condition("signing keys");
    tokio::spawn(async move { keys.refresh_jwks(&condition, stop).await });
    assert!(accepts(&authenticator, &bearer(&rsa(), "one")).await);

    publish(&other, "two");
    eventually("the new key counts", async || accepts(&authenticator, &bearer(&other, "two")).await).await;
    assert!(!accepts(&authenticator, &bearer(&rsa(), "one")).await);
    shutdown.cancel();
}

#[tokio::test]
async fn without_keys_the_gateway_is_not_ready_and_asks_to_come_back() {
    let provider = Provider::default();
    let source = KeySource::Url(Secret::new(provider.start().await));
    let mut options = Options { auth: jwks_config(source), ..Options::default() };
    options.limits.start_wait = Duration::from_millis(50);
    let gateway = TestGateway::with(options).await;
    let (status, ready) = answer(gateway.http.get(gateway.url("/readyz"))).await;
    assert_eq!((status, &ready["missing"]), (503, &json!(["signing keys"])));

    let body = json!({ "query": "{ hello }" });
    let token = bearer(&rsa(), "one");
    let (status, refused) = answer(gateway.post(&body).header("authorization", &token)).await;
    assert_eq!((status, code(&refused)), (503, "SERVICE_UNAVAILABLE"));
    assert_eq!(gateway.run("{ hello }").await.0, 200);

    let refused = gateway.try_socket(Some("graphql-transport-ws"), Some(&token)).await;
    assert!(matches!(refused, Err(Error::Http(response)) if response.status() == 503));
}
