//! Which tokens are good: mock mode and jwks mode, claim by claim.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bus::clock::{Clock, ManualClock, SystemClock};
use gateway::auth::{AuthConfig, AuthError, Authenticator, KeySource, Scope, Scopes, Viewer, mint};
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::{Value, json};
use service_kit::config::Secret;

// Made for these tests; nothing else trusts them.
pub(crate) const RSA: &[u8] = include_bytes!("keys/rsa.pem");
pub(crate) const OTHER_RSA: &[u8] = include_bytes!("keys/other-rsa.pem");
const EC: &[u8] = include_bytes!("keys/ec.pem");
const ED: &[u8] = include_bytes!("keys/ed.pem");

const SECRET: &str = "a secret of the tests";
const ISSUER: &str = "https://issuer.example";
const AUDIENCE: &str = "waybill";

/// Seconds since 1970.
fn now() -> i64 {
    SystemClock.now().unix_ms() / 1000
}

pub(crate) fn claims() -> Value {
    json!({
        "sub": "CUST01",
        "scope": "orders:read orders:all",
        "exp": now() + 600,
        "iss": ISSUER,
        "aud": AUDIENCE,
    })
}

fn changed(name: &str, value: Value) -> Value {
    let mut claims = claims();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

pub(crate) fn sign(key: &EncodingKey, algorithm: Algorithm, kid: Option<&str>, claims: &Value) -> String {
    let mut header = Header::new(algorithm);
    header.kid = kid.map(str::to_owned);
    jsonwebtoken::encode(&header, claims, key).unwrap()
}

pub(crate) fn rsa() -> EncodingKey {
    EncodingKey::from_rsa_pem(RSA).unwrap()
}

/// The public half of a key as a JWK.
pub(crate) fn public(key: &EncodingKey, algorithm: Algorithm, kid: &str) -> Value {
    let mut jwk = Jwk::from_encoding_key(key, algorithm).unwrap();
    jwk.common.key_id = Some(kid.into());
    serde_json::to_value(jwk).unwrap()
}

fn mock() -> Authenticator {
    let secret = Secret::new(SECRET);
    Authenticator::new(AuthConfig::Mock { secret }, Arc::new(SystemClock)).unwrap()
}

pub(crate) fn jwks_config(source: KeySource) -> AuthConfig {
    AuthConfig::Jwks { source, issuer: ISSUER.into(), audience: AUDIENCE.into() }
}

/// An authenticator that knows three keys, and the folder they are in.
fn jwks() -> (Authenticator, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let keys = json!({ "keys": [
        { "kty": "oct", "k": URL_SAFE_NO_PAD.encode(SECRET), "kid": "symmetric", "alg": "HS256" },
        { "kty": "unheard of", "kid": "new" },
        public(&rsa(), Algorithm::RS256, "rsa"),
        public(&EncodingKey::from_ec_pem(EC).unwrap(), Algorithm::ES256, "ec"),
        public(&EncodingKey::from_ed_pem(ED).unwrap(), Algorithm::EdDSA, "ed"),
    ] });
    std::fs::write(&path, keys.to_string()).unwrap();
    let config = jwks_config(KeySource::File(path));
    (Authenticator::new(config, Arc::new(SystemClock)).unwrap(), folder)
}

async fn viewer(authenticator: &Authenticator, token: &str) -> Result<Viewer, AuthError> {
    match authenticator.authenticate(Some(&format!("Bearer {token}"))).await? {
        Some(viewer) => Ok(viewer),
        None => panic!("a token made an anonymous caller"),
    }
}

#[tokio::test]
async fn a_minted_token_is_its_customers() {
    let scopes = Scopes::from_iter([Scope::OrdersRead, Scope::OrdersFulfil]);
    let token = mint(SECRET, "CUST01", scopes, Duration::from_secs(60)).unwrap();
    let viewer = viewer(&mock(), &token).await.unwrap();
    assert_eq!(viewer.customer_id.as_str(), "CUST01");
    assert!(viewer.can(Scope::OrdersRead) && viewer.can(Scope::OrdersFulfil));
    assert!(!viewer.can(Scope::OrdersWrite) && !viewer.can(Scope::OrdersAll));
    let left = viewer.expires_at - SystemClock.now().to_utc();
    assert!((50..=60).contains(&left.num_seconds()), "{left}");
}

#[tokio::test]
async fn without_a_token_there_is_no_viewer_and_other_schemes_are_bad() {
    let mock = mock();
    assert_eq!(mock.authenticate(None).await, Ok(None));
    let good = mint(SECRET, "CUST01", Scopes::default(), Duration::from_secs(60)).unwrap();
    assert!(mock.authenticate(Some(&format!("bearer  {good}"))).await.is_ok());
    for bad in ["", "Bearer", "Bearer ", &good, &format!("Basic {good}")] {
        assert_eq!(mock.authenticate(Some(bad)).await, Err(AuthError::BadToken), "{bad}");
    }
    let endless = format!("Bearer {}", "x".repeat(100_000));
    assert_eq!(mock.authenticate(Some(&endless)).await, Err(AuthError::BadToken));
}

#[tokio::test]
async fn claims_decide_in_both_modes() {
    let now = now();
    let (jwks, _folder) = jwks();
    let mock = mock();
    for (name, value, good) in [
        ("nothing", json!(1), true),
        ("scope", Value::Null, true),
        ("exp", json!(now - 60), false),
        ("exp", Value::Null, false),
        ("exp", json!("tomorrow"), false),
        ("nbf", json!(now - 60), true),
        ("nbf", json!(now + 60), false),
        ("nbf", json!("yesterday"), false),
        ("sub", Value::Null, false),
        ("sub", json!(""), false),
        ("sub", json!(7), false),
        ("sub", json!("a".repeat(64)), true),
        ("sub", json!("ä".repeat(64)), true),
        ("sub", json!("a".repeat(65)), false),
        ("sub", json!("CUST\n01"), false),
        ("sub", json!("CUST\u{0}"), false),
    ] {
        let claims = changed(name, value.clone());
        let symmetric = EncodingKey::from_secret(SECRET.as_bytes());
        let in_mock = sign(&symmetric, Algorithm::HS256, None, &claims);
        let in_jwks = sign(&rsa(), Algorithm::RS256, Some("rsa"), &claims);
        assert_eq!(viewer(&mock, &in_mock).await.is_ok(), good, "mock: {name} {value}");
        assert_eq!(viewer(&jwks, &in_jwks).await.is_ok(), good, "jwks: {name} {value}");
    }
}

#[tokio::test]
async fn issuer_and_audience_must_be_ours_in_jwks_mode() {
    let (jwks, _folder) = jwks();
    for (name, value, good) in [
        ("aud", json!(["other", AUDIENCE]), true),
        ("aud", json!("other"), false),
        ("aud", json!([]), false),
        ("aud", Value::Null, false),
        ("iss", json!("https://issuer.example.evil"), false),
        ("iss", json!(7), false),
        ("iss", Value::Null, false),
    ] {
        let claims = changed(name, value.clone());
        let token = sign(&rsa(), Algorithm::RS256, Some("rsa"), &claims);
        assert_eq!(viewer(&jwks, &token).await.is_ok(), good, "{name} {value}");
    }
}

#[tokio::test]
async fn each_pinned_algorithm_works_with_its_key() {
    let (jwks, _folder) = jwks();
    for (key, algorithm, kid) in [
        (rsa(), Algorithm::RS256, "rsa"),
        (EncodingKey::from_ec_pem(EC).unwrap(), Algorithm::ES256, "ec"),
        (EncodingKey::from_ed_pem(ED).unwrap(), Algorithm::EdDSA, "ed"),
    ] {
        for kid in [Some(kid), None] {
            let token = sign(&key, algorithm, kid, &claims());
            let viewer = viewer(&jwks, &token).await.unwrap();
            assert_eq!(viewer.scopes.to_string(), "orders:read orders:all");
        }
    }
}

/// A token with this header and no or any signature.
fn forged(header: &Value, signature: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.{signature}", part(header), part(&claims()))
}

#[tokio::test]
async fn forged_tokens_are_refused_in_both_modes() {
    let (jwks, _folder) = jwks();
    let mock = mock();
    let hmac = |key: &[u8], algorithm, kid| sign(&EncodingKey::from_secret(key), algorithm, kid, &claims());
    let modulus = public(&rsa(), Algorithm::RS256, "rsa");
    let modulus = URL_SAFE_NO_PAD.decode(modulus["n"].as_str().unwrap()).unwrap();
    let other = EncodingKey::from_rsa_pem(OTHER_RSA).unwrap();
    let ec = EncodingKey::from_ec_pem(EC).unwrap();
    let good = sign(&rsa(), Algorithm::RS256, Some("rsa"), &claims());
    let (head, _) = good.rsplit_once('.').unwrap();
    for (what, token) in [
        ("alg none", forged(&json!({ "alg": "none", "typ": "JWT" }), "")),
        ("alg None", forged(&json!({ "alg": "None", "kid": "rsa" }), "")),
        ("alg NONE, signed", forged(&json!({ "alg": "NONE" }), "AAAA")),
        ("no alg", forged(&json!({ "typ": "JWT" }), "AAAA")),
        ("signature dropped", format!("{head}.")),
        ("two parts", head.to_owned()),
        ("four parts", format!("{good}.x")),
        ("not base64", "ä.ö.ü".to_owned()),
        ("HS256 with the public key", hmac(&modulus, Algorithm::HS256, Some("rsa"))),
        ("HS256 with the public key's PEM", hmac(RSA, Algorithm::HS256, Some("rsa"))),
        ("HS512 with the right secret", hmac(SECRET.as_bytes(), Algorithm::HS512, None)),
        ("HS256 with a wrong secret", hmac(b"wrong", Algorithm::HS256, None)),
        ("HS256 with an empty secret", hmac(b"", Algorithm::HS256, None)),
        ("RS256 with another key", sign(&other, Algorithm::RS256, Some("rsa"), &claims())),
        ("RS512, not pinned", sign(&rsa(), Algorithm::RS512, Some("rsa"), &claims())),
        ("PS256, not pinned", sign(&rsa(), Algorithm::PS256, Some("rsa"), &claims())),
        ("ES256 under an RSA key's id", sign(&ec, Algorithm::ES256, Some("rsa"), &claims())),
        ("an unknown key id", sign(&rsa(), Algorithm::RS256, Some("gone"), &claims())),
    ] {
        assert_eq!(viewer(&mock, &token).await, Err(AuthError::BadToken), "mock: {what}");
        assert_eq!(viewer(&jwks, &token).await, Err(AuthError::BadToken), "jwks: {what}");
    }
    // A symmetric key that stands in the published set verifies nothing.
    let symmetric = hmac(SECRET.as_bytes(), Algorithm::HS256, Some("symmetric"));
    assert_eq!(viewer(&jwks, &symmetric).await, Err(AuthError::BadToken));
    // The modes don't accept each other's tokens.
    assert_eq!(viewer(&mock, &good).await, Err(AuthError::BadToken));
    assert!(viewer(&jwks, &good).await.is_ok());
}

#[tokio::test]
async fn a_token_with_critical_extensions_is_refused() {
    let mut header = Header::new(Algorithm::HS256);
    header.crit = Some(vec!["b64".into()]);
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let token = jsonwebtoken::encode(&header, &claims(), &key).unwrap();
    assert_eq!(viewer(&mock(), &token).await, Err(AuthError::BadToken));
}

#[test]
fn settings_that_would_accept_anything_are_refused() {
    let file = || KeySource::File("keys.json".into());
    for config in [
        AuthConfig::Mock { secret: Secret::new("") },
        AuthConfig::Jwks { source: file(), issuer: String::new(), audience: "a".into() },
        AuthConfig::Jwks { source: file(), issuer: "i".into(), audience: String::new() },
        jwks_config(KeySource::Url(Secret::new("file:///etc/passwd"))),
        jwks_config(KeySource::Url(Secret::new("issuer.example"))),
    ] {
        assert!(Authenticator::new(config.clone(), Arc::new(SystemClock)).is_err(), "{config:?}");
    }
}

#[test]
fn settings_print_without_secrets() {
    let mock = AuthConfig::Mock { secret: Secret::new("hunter2") };
    let jwks = jwks_config(KeySource::Url(Secret::new("https://user:hunter2@issuer.example")));
    for config in [mock, jwks] {
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn a_token_ends_by_the_clock_with_a_little_leeway() {
    let clock = Arc::new(ManualClock::at(SystemClock.now()));
    let secret = Secret::new(SECRET);
    let config = AuthConfig::Mock { secret };
    let authenticator = Authenticator::new(config, clock.clone()).unwrap();
    let token = mint(SECRET, "CUST01", Scopes::default(), Duration::from_secs(60)).unwrap();
    let signed_in = viewer(&authenticator, &token).await.unwrap();

    clock.advance(Duration::from_secs(62));
    assert!(viewer(&authenticator, &token).await.is_ok());
    assert_eq!(authenticator.time_left(&signed_in), Duration::ZERO);
    clock.advance(Duration::from_secs(5));
    assert_eq!(viewer(&authenticator, &token).await, Err(AuthError::BadToken));
}
