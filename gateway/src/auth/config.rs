use std::{fmt, path::PathBuf};

/// How tokens are checked.
#[derive(Clone)]
pub enum AuthConfig {
    /// HS256 with one shared secret. For development: whoever knows the secret is everybody.
    Mock {
        /// The secret, not empty.
        secret: String,
    },
    /// RS256, ES256 and EdDSA with an identity provider's public keys.
    Jwks {
        /// Where the keys are.
        source: KeySource,
        /// The only accepted `iss`.
        issuer: String,
        /// The audience that `aud` has to name.
        audience: String,
    },
}

/// Where a JSON Web Key Set is read from.
#[derive(Clone)]
pub enum KeySource {
    /// An http or https address; redirects are not followed.
    Url(String),
    /// A file, read again when its content changes.
    File(PathBuf),
}

/// Why an [`AuthConfig`] can't be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthConfigError {
    /// An empty secret, issuer or audience would accept what it should refuse.
    #[error("{0} must not be empty")]
    Empty(&'static str),
    /// The keys' address isn't one.
    #[error("the key set's address must be an http or https URL")]
    Url,
    /// The HTTP client for the key set couldn't be made.
    #[error("no HTTP client for the key set")]
    Client(#[source] reqwest::Error),
    /// The keys' file isn't there, or holds none.
    #[error("cannot use {} (JWKS_FILE)", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl AuthConfig {
    /// Whether tokens are checked against a shared secret, as only a development setup does.
    pub fn is_mock(&self) -> bool {
        matches!(self, Self::Mock { .. })
    }

    pub(super) fn check(&self) -> Result<(), AuthConfigError> {
        let required: &[(&'static str, &str)] = match self {
            Self::Mock { secret } => &[("secret", secret)],
            Self::Jwks { issuer, audience, .. } => &[("issuer", issuer), ("audience", audience)],
        };
        match required.iter().find(|(_, value)| value.is_empty()) {
            Some((name, _)) => Err(AuthConfigError::Empty(name)),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for AuthConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mock { .. } => f.debug_struct("Mock").field("secret", &"[redacted]").finish(),
            Self::Jwks { source, issuer, audience } => f
                .debug_struct("Jwks")
                .field("source", source)
                .field("issuer", issuer)
                .field("audience", audience)
                .finish(),
        }
    }
}

impl fmt::Debug for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A URL may carry credentials.
            Self::Url(_) => f.write_str("Url([redacted])"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
        }
    }
}
