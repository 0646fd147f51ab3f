use futures::{
    FutureExt,
    future::{BoxFuture, pending},
};
use serde_json::{Map, Value};

use crate::auth::{AuthError, Authenticator, Viewer};

/// How far a socket has come in signing in. Input is read all along.
pub(super) enum Handshake {
    /// No `connection_init` yet.
    Awaited,
    /// The token is being checked.
    Checking(BoxFuture<'static, Result<Option<Viewer>, AuthError>>),
    /// Signed in, or let in without a token.
    Done(Option<Viewer>),
}

impl Handshake {
    /// Begins to check the token of a `connection_init` payload, or where that has none, the one
    /// that came with the upgrade. An error says what is wrong with the payload.
    pub(super) fn check(
        mut payload: Map<String, Value>,
        of_upgrade: Option<String>,
        authenticator: Authenticator,
    ) -> Result<Self, &'static str> {
        let of_payload = ["authorization", "Authorization"]
            .into_iter()
            .find_map(|name| payload.remove(name).filter(|value| !value.is_null()));
        let authorization = match of_payload {
            Some(Value::String(authorization)) => Some(authorization),
            Some(_) => return Err("authorization must be a string"),
            None => of_upgrade,
        };
        let check = async move { authenticator.authenticate(authorization.as_deref()).await };
        Ok(Self::Checking(check.boxed()))
    }

    pub(super) fn is_awaited(&self) -> bool {
        matches!(self, Self::Awaited)
    }

    /// The outcome of checking a token, once; never ready while none is being checked.
    pub(super) async fn checked(&mut self) -> Result<Option<Viewer>, AuthError> {
        match self {
            Self::Checking(check) => check.await,
            Self::Awaited | Self::Done(_) => pending().await,
        }
    }
}
