//! Who is calling: bearer tokens become a [`Viewer`].
//!
//! Two modes, never mixed: *mock* trusts one shared secret (HS256), *jwks* trusts the public keys of an
//! identity provider (RS256, ES256, EdDSA). The mode pins the algorithms; what a token's header claims
//! only picks a key among those the mode already trusts.

mod authenticator;
mod config;
mod jwks;
mod keys;
mod token;
mod viewer;

pub use authenticator::{AuthError, Authenticator};
pub use config::{AuthConfig, AuthConfigError, KeySource};
pub use token::{MintError, mint};
pub use viewer::{Scope, Scopes, UnknownScope, Viewer};
