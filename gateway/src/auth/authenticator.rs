use std::{sync::Arc, time::Duration};

use bus::clock::Clock;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use moka::sync::Cache;
use service_kit::health::ReadinessHandle;
use tokio_util::sync::CancellationToken;

use super::jwks::Jwks;
use super::token::{Claims, Grant, MAX_TOKEN_BYTES, validation};
use super::{AuthConfig, AuthConfigError, Viewer};

/// What a mode with public keys accepts, whatever a token's header says.
const JWKS_ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

/// Memory of the tokens whose signatures are known to be right, estimated.
const VERIFIED_BYTES: u64 = 8 * 1024 * 1024;
/// What a token takes beside its text, rounded up.
const VERIFIED_OVERHEAD_BYTES: usize = 512;
/// A token that no request has brought for this long is forgotten.
const VERIFIED_IDLE: Duration = Duration::from_secs(600);

/// Why a token was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The token is malformed, expired, wrongly signed or not for this gateway. The error doesn't say which: that would
    /// help only an attacker.
    #[error("the token is not valid")]
    BadToken,
    /// The signing keys haven't been read yet; the same token may be accepted in a moment.
    #[error("the signing keys are not available")]
    Unavailable,
}

/// Turns tokens into viewers. Cheap to clone.
#[derive(Clone)]
pub struct Authenticator {
    mode: Arc<Mode>,
    clock: Arc<dyn Clock>,
    verified: Cache<Arc<str>, VerifiedToken>,
}

/// A token whose signature was right. It is checked again once the keys have been read again, which may not hold its key
/// any more.
#[derive(Clone)]
struct VerifiedToken {
    grant: Grant,
    /// Which reading of the keys it was checked by.
    reading: u64,
}

enum Mode {
    Mock { key: DecodingKey, validation: Validation },
    Jwks { keys: Jwks, issuer: String, audience: String },
}

impl Authenticator {
    /// Builds an authenticator; [`Authenticator::refresh_jwks`] reads its keys. Fails if a setting would make it accept
    /// anything.
    pub fn new(config: AuthConfig, clock: Arc<dyn Clock>) -> Result<Self, AuthConfigError> {
        config.check()?;
        let mode = match config {
            AuthConfig::Mock { secret } => {
                let mut validation = validation(Algorithm::HS256);
                // In mock mode there is no audience to belong to; tokens of other makers may carry one.
                validation.validate_aud = false;
                Mode::Mock { key: DecodingKey::from_secret(secret.expose().as_bytes()), validation }
            }
            AuthConfig::Jwks { source, issuer, audience } => {
                Mode::Jwks { keys: Jwks::new(source)?, issuer, audience }
            }
        };
        let weight = |token: &Arc<str>, _: &VerifiedToken| {
            u32::try_from(token.len() + VERIFIED_OVERHEAD_BYTES).unwrap_or(u32::MAX)
        };
        let verified = Cache::builder().max_capacity(VERIFIED_BYTES).weigher(weight);
        Ok(Self { mode: Arc::new(mode), clock, verified: verified.time_to_idle(VERIFIED_IDLE).build() })
    }

    /// Reads the signing keys for the first time if they are in a file; fails if the file can't be read or holds no key.
    pub async fn read_key_file(&self) -> Result<(), AuthConfigError> {
        if let Mode::Jwks { keys, .. } = &*self.mode { keys.read_file().await } else { Ok(()) }
    }

    /// Keeps reading the signing keys until `stop`. The condition is met once they have been read; in mock mode there is
    /// nothing to read.
    pub async fn refresh_jwks(&self, condition: &ReadinessHandle, stop: CancellationToken) {
        match &*self.mode {
            Mode::Mock { .. } => condition.set(true),
            Mode::Jwks { keys, .. } => keys.refresh(condition, stop).await,
        }
    }

    /// Returns the viewer whose token the value of an `Authorization` header carries; none without a header. In jwks mode
    /// an unknown key id may wait for one read of the key set, at most 5 seconds.
    pub async fn authenticate(&self, authorization: Option<&str>) -> Result<Option<Viewer>, AuthError> {
        let Some(authorization) = authorization else { return Ok(None) };
        let token = bearer_token(authorization).ok_or(AuthError::BadToken)?;
        self.viewer(token).await.map(Some)
    }

    async fn viewer(&self, token: &str) -> Result<Viewer, AuthError> {
        // Read first: keys that are replaced meanwhile have the token checked again.
        let reading = match &*self.mode {
            Mode::Mock { .. } => 0,
            Mode::Jwks { keys, .. } => keys.reading(),
        };
        let verified = self.verified.get(token).filter(|verified| verified.reading == reading);
        let grant = match verified {
            Some(verified) => verified.grant,
            None => {
                let grant = self.verify(token).await?;
                self.verified.insert(token.into(), VerifiedToken { grant: grant.clone(), reading });
                grant
            }
        };
        grant.viewer(self.clock.now().to_utc()).ok_or(AuthError::BadToken)
    }

    async fn verify(&self, token: &str) -> Result<Grant, AuthError> {
        match &*self.mode {
            Mode::Mock { key, validation } => decode(token, key, validation),
            Mode::Jwks { keys, issuer, audience } => {
                let header = jsonwebtoken::decode_header(token).map_err(|_| AuthError::BadToken)?;
                if !JWKS_ALGORITHMS.contains(&header.alg) {
                    return Err(AuthError::BadToken);
                }
                let kid = header.kid.as_deref();
                let keys = keys.holding(kid, header.alg).await.ok_or(AuthError::Unavailable)?;
                let found = keys.find(kid, header.alg).ok_or(AuthError::BadToken)?;
                // The key decides the algorithm; a header that named another found no key.
                let mut validation = validation(found.algorithm);
                validation.set_required_spec_claims(&["exp", "sub", "iss", "aud"]);
                validation.set_issuer(&[issuer]);
                validation.set_audience(&[audience]);
                decode(token, &found.key, &validation)
            }
        }
    }

    /// Returns how long the viewer's token is still valid; zero once it has ended.
    pub fn time_left(&self, viewer: &Viewer) -> Duration {
        (viewer.expires_at - self.clock.now().to_utc()).to_std().unwrap_or_default()
    }
}

fn decode(token: &str, key: &DecodingKey, validation: &Validation) -> Result<Grant, AuthError> {
    let token = jsonwebtoken::decode::<Claims>(token, key, validation).map_err(|error| {
        tracing::debug!(reason = ?error.kind(), "token refused");
        AuthError::BadToken
    })?;
    // RFC 7515, section 4.1.11: an extension marked critical must be understood, and none is.
    if token.header.crit.is_some() {
        return Err(AuthError::BadToken);
    }
    token.claims.grant().ok_or(AuthError::BadToken)
}

/// Returns the credentials of the Bearer scheme (RFC 6750, section 2.1).
fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.trim().split_once(' ')?;
    let token = token.trim_start();
    let fits = (1..=MAX_TOKEN_BYTES).contains(&token.len());
    (scheme.eq_ignore_ascii_case("bearer") && fits).then_some(token)
}
