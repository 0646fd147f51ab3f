//! Who calls: bearer tokens become a [`Viewer`].
//!
//! Two modes, never mixed: *mock* trusts one shared secret (HS256), *jwks* trusts the public keys of an identity provider
//! (RS256, ES256, EdDSA). The mode pins the algorithms; what a token's header claims only picks a key among those that
//! the mode already trusts.

mod authenticator;
mod current_viewer;
mod jwks;
mod token;
mod viewer;

use std::path::PathBuf;

use service_kit::config::Secret;

pub use authenticator::{AuthError, Authenticator};
pub(crate) use current_viewer::CurrentViewer;
pub use token::{MintError, mint};
pub use viewer::{Scope, Scopes, UnknownScope, Viewer};

#[derive(Clone, Debug)]
pub enum AuthConfig {
    /// HS256 with one shared secret. For development: the secret signs in every customer.
    Mock { secret: Secret },
    /// RS256, ES256 and EdDSA with an identity provider's public keys.
    Jwks {
        source: KeySource,
        /// The only accepted `iss`.
        issuer: String,
        /// The audience that `aud` has to name.
        audience: String,
    },
}

#[derive(Clone, Debug)]
pub enum KeySource {
    /// An http or https address, which may carry credentials; redirects are not followed.
    Url(Secret),
    /// A file, read again when its content changes.
    File(PathBuf),
}

#[derive(Debug, thiserror::Error)]
pub enum AuthConfigError {
    /// An empty secret, issuer or audience would accept what it should refuse.
    #[error("{0} must not be empty")]
    Empty(&'static str),
    #[error("the key set's address must be an http or https URL")]
    Url,
    #[error("cannot make an HTTP client for the key set")]
    Client(#[from] reqwest::Error),
    /// The file can't be read, or holds no usable key.
    #[error("cannot use {} (JWKS_FILE)", path.display())]
    File { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },
}

impl AuthConfig {
    fn check(&self) -> Result<(), AuthConfigError> {
        let required: &[(&'static str, &str)] = match self {
            Self::Mock { secret } => &[("secret", secret.expose())],
            Self::Jwks { issuer, audience, .. } => &[("issuer", issuer), ("audience", audience)],
        };
        let empty = required.iter().find(|(_, value)| value.is_empty());
        empty.map_or(Ok(()), |(name, _)| Err(AuthConfigError::Empty(name)))
    }
}
