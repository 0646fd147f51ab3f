//! Tokens, valid and invalid.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::program::SECRET;

/// A token before it is signed.
pub(crate) struct Token {
    claims: Value,
    secret: String,
}

impl Token {
    /// The claims of a token of `waybill token`.
    pub(crate) fn of(customer: &str) -> Self {
        Self::with_scopes(customer, "orders:read orders:write orders:fulfil")
    }

    /// A token with other scopes.
    pub(crate) fn with_scopes(customer: &str, scopes: &str) -> Self {
        let claims = json!({ "sub": customer, "scope": scopes, "exp": 4_102_444_800_u64 });
        Self { claims, secret: SECRET.to_owned() }
    }

    /// With another claim, or another value of one.
    pub(crate) fn claiming(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims[name] = value.into();
        self
    }

    /// Without a claim.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.claims.as_object_mut().unwrap().remove(name);
        self
    }

    /// Signed with another secret.
    pub(crate) fn signed_with(mut self, secret: &str) -> Self {
        self.secret = secret.to_owned();
        self
    }

    /// The signed token.
    pub(crate) fn sign(&self) -> String {
        let key = EncodingKey::from_secret(self.secret.as_bytes());
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &self.claims, &key).unwrap()
    }

    /// The claims under a header that declares the token unsigned.
    pub(crate) fn unsigned(&self) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(&json!({ "alg": "none", "typ": "JWT" })), part(&self.claims))
    }
}
