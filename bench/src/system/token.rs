//! Tokens of customers and of staff.

use anyhow::Result;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

/// The secret with which the gateways that are measured verify tokens.
pub(crate) const SECRET: &str = "a-secret-that-only-the-bench-knows-0123456789";

/// The token of a customer, for its own orders.
pub(crate) fn customer_token(customer: &str) -> Result<String> {
    sign(customer, "orders:read orders:write")
}

/// A token for the orders of all customers.
pub(crate) fn staff_token() -> Result<String> {
    sign("STAFF", "orders:read orders:write orders:fulfil orders:all")
}

fn sign(subject: &str, scope: &str) -> Result<String> {
    let claims = json!({ "sub": subject, "scope": scope, "exp": 4_102_444_800_u64 });
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)?)
}
