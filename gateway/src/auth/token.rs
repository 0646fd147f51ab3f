//! Tokens: the claims that every mode demands, and tokens made for mock mode.

use std::time::Duration;

use bus::clock::{Clock, SystemClock};
use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header, Validation};
use serde::Deserialize;
use serde_json::json;

use super::{Scopes, Viewer};

/// Longer tokens are refused unread.
pub(super) const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// How far the clocks of issuer and gateway may be apart.
const LEEWAY: TimeDelta = TimeDelta::seconds(5);

/// What every mode demands of a token's claims; modes add issuer and audience.
pub(super) fn validation(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    // Checked by `Grant::viewer`, against a clock that tests can set.
    validation.validate_exp = false;
    validation.set_required_spec_claims(&["exp", "sub"]);
    validation
}

/// The claims of a token whose signature has been checked.
#[derive(Deserialize)]
pub(super) struct Claims {
    sub: String,
    // NumericDate: seconds, possibly with a fraction (RFC 7519, section 2).
    exp: f64,
    nbf: Option<f64>,
    scope: Option<String>,
}

impl Claims {
    /// Returns what these claims grant, whatever the time; none if the subject can't be a customer id.
    pub(super) fn grant(self) -> Option<Grant> {
        let viewer = Viewer {
            customer_id: self.sub.parse().ok()?,
            scopes: Scopes::from_claim(self.scope.as_deref().unwrap_or_default()),
            expires_at: instant(self.exp),
        };
        Some(Grant { viewer, begins_at: self.nbf.map(instant) })
    }
}

/// What a token whose signature has been checked grants, while it holds.
#[derive(Clone)]
pub(super) struct Grant {
    viewer: Viewer,
    begins_at: Option<DateTime<Utc>>,
}

impl Grant {
    /// Returns the viewer; none if the token has ended or not begun.
    pub(super) fn viewer(&self, now: DateTime<Utc>) -> Option<Viewer> {
        let has_begun = self.begins_at.is_none_or(|begins_at| begins_at <= now + LEEWAY);
        let has_ended = self.viewer.expires_at <= now - LEEWAY;
        (has_begun && !has_ended).then(|| self.viewer.clone())
    }
}

/// Returns the instant of a NumericDate; the calendar's end for one beyond it.
fn instant(seconds: f64) -> DateTime<Utc> {
    let end = if seconds < 0.0 { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC };
    // The cast saturates.
    DateTime::from_timestamp(seconds as i64, 0).unwrap_or(end)
}

#[derive(Debug, thiserror::Error)]
pub enum MintError {
    #[error("the token would never expire")]
    Lifetime,
    #[error("the token cannot be signed")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

/// Makes a token for mock mode: HS256, signed with `secret`, valid from now for `expires_in`.
pub fn mint(
    secret: &str,
    customer_id: &str,
    scopes: Scopes,
    expires_in: Duration,
) -> Result<String, MintError> {
    let now = SystemClock.now().to_utc();
    let expires_at = chrono::Duration::from_std(expires_in)
        .ok()
        .and_then(|lifetime| now.checked_add_signed(lifetime))
        .ok_or(MintError::Lifetime)?;
    let claims = json!({
        "sub": customer_id,
        "scope": scopes.to_string(),
        "iat": now.timestamp(),
        "exp": expires_at.timestamp(),
    });
    let key = EncodingKey::from_secret(secret.as_bytes());
    Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)?)
}
