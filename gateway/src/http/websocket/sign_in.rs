//! For whom a socket is served: by the token of its handshake, and by fresh ones that its client sends later.

use futures::future::{BoxFuture, pending};
use serde_json::{Map, Value};

use super::protocol::CloseCode;
use crate::auth::{AuthError, CurrentViewer, Viewer};
use crate::http::admission::CustomerPermit;

pub(super) type Check = BoxFuture<'static, Result<Option<Viewer>, AuthError>>;

/// How far a socket has come in signing in.
pub(super) enum SignIn {
    /// No `connection_init` yet.
    Awaited,
    Checking(Check),
    /// Signed in, or let in without a token.
    Done {
        viewer: Option<CurrentViewer>,
        refresh: Option<Refresh>,
        _permit: Option<CustomerPermit>,
    },
}

/// A fresh token that is being checked, and the rest of the ping that it came with.
pub(super) struct Refresh {
    pub(super) check: Check,
    pub(super) payload: Option<Map<String, Value>>,
}

impl SignIn {
    /// Returns the outcome of checking a token, once; never ready while none is being checked.
    pub(super) async fn checked(&mut self) -> Result<Option<Viewer>, AuthError> {
        match self {
            Self::Checking(check) | Self::Done { refresh: Some(Refresh { check, .. }), .. } => check.await,
            Self::Awaited | Self::Done { refresh: None, .. } => pending().await,
        }
    }
}

/// Takes the token out of a payload, spelt either way.
pub(super) fn take_authorization(payload: &mut Map<String, Value>) -> Result<Option<String>, CloseCode> {
    let mut given = |name| payload.remove(name).filter(|value: &Value| !value.is_null());
    match given("authorization").or_else(|| given("Authorization")) {
        Some(Value::String(authorization)) => Ok(Some(authorization)),
        Some(_) => Err(CloseCode::BadRequest("authorization must be a string")),
        None => Ok(None),
    }
}
