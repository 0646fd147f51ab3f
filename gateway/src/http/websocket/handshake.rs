//! What a session does with tokens: those of handshakes, and fresh ones in pings.

use std::ops::ControlFlow;

use async_graphql::Executor;
use futures::FutureExt;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::protocol::{CloseCode, ServerMessage, Subprotocol};
use super::session::{CloseReason, FAR_FUTURE, Session, close_with};
use super::sign_in::{Check, Refresh, SignIn, take_authorization};
use crate::auth::{AuthError, CurrentViewer, Viewer};

impl<E: Executor> Session<E> {
    /// Begins to check the token of a `connection_init` payload, or the token of the upgrade if the payload has none.
    pub(super) fn on_init(&mut self, mut payload: Map<String, Value>) -> ControlFlow<CloseReason> {
        if !matches!(self.sign_in, SignIn::Awaited) {
            return close_with(CloseCode::TooManyInits);
        }
        let authorization = match take_authorization(&mut payload) {
            Ok(given) => given.or_else(|| self.authorization.take()),
            Err(code) => return close_with(code),
        };
        self.sign_in = SignIn::Checking(self.check(authorization));
        ControlFlow::Continue(())
    }

    /// Answers a ping; one that carries a token is answered once the token was accepted.
    pub(super) fn on_ping(&mut self, mut payload: Option<Map<String, Value>>) -> ControlFlow<CloseReason> {
        let SignIn::Done { refresh, .. } = &mut self.sign_in else {
            return self.send(ServerMessage::Pong(payload.as_ref()));
        };
        let given = payload.as_mut().map_or(Ok(None), take_authorization);
        let superseded = match &given {
            Ok(None) => return self.send(ServerMessage::Pong(payload.as_ref())),
            Ok(Some(_)) => refresh.take(),
            Err(_) => None,
        };
        let authorization = match given {
            Ok(authorization) => authorization,
            Err(code) => return close_with(code),
        };
        let check = self.check(authorization);
        if let SignIn::Done { refresh, .. } = &mut self.sign_in {
            *refresh = Some(Refresh { check, payload: payload.filter(|payload| !payload.is_empty()) });
        }
        match superseded {
            Some(superseded) => self.send(ServerMessage::Pong(superseded.payload.as_ref())),
            None => ControlFlow::Continue(()),
        }
    }

    pub(super) fn on_checked(
        &mut self,
        checked: Result<Option<Viewer>, AuthError>,
    ) -> ControlFlow<CloseReason> {
        let viewer = match checked {
            Ok(viewer) => viewer,
            Err(AuthError::BadToken) => return self.refuse(CloseCode::Forbidden, "the token is not valid"),
            Err(AuthError::Unavailable) => {
                return self.refuse(CloseCode::TryAgainLater, "tokens can't be checked at the moment");
            }
        };
        let time_left = viewer
            .as_ref()
            .map_or(FAR_FUTURE, |viewer| self.shared.authenticator.time_left(viewer).min(FAR_FUTURE));
        if let SignIn::Done { viewer: current, refresh, .. } = &mut self.sign_in {
            let refresh = refresh.take();
            // Not even a wider scope reaches over to another customer.
            let (Some(current), Some(viewer)) = (current, viewer) else {
                return close_with(CloseCode::Forbidden);
            };
            if current.get().customer_id != viewer.customer_id {
                return close_with(CloseCode::Forbidden);
            }
            current.replace(viewer);
            self.expires_at = Instant::now() + time_left;
            return self.send(ServerMessage::Pong(refresh.and_then(|refresh| refresh.payload).as_ref()));
        }
        let permit = viewer.as_ref().map(|viewer| self.shared.admission.stream_of(&viewer.customer_id));
        let Ok(permit) = permit.transpose() else {
            return self.refuse(CloseCode::TooManySockets, "too many sockets of this customer");
        };
        self.expires_at = Instant::now() + time_left;
        let viewer = viewer.map(CurrentViewer::new);
        self.sign_in = SignIn::Done { viewer, refresh: None, _permit: permit };
        self.send(ServerMessage::ConnectionAck)?;
        match self.subprotocol {
            Subprotocol::GraphqlWs => self.send(ServerMessage::KeepAlive),
            Subprotocol::GraphqlTransportWs => ControlFlow::Continue(()),
        }
    }

    fn refuse(&self, code: CloseCode, message: &str) -> ControlFlow<CloseReason> {
        if self.subprotocol == Subprotocol::GraphqlWs {
            self.send(ServerMessage::ConnectionError(message))?;
        }
        close_with(code)
    }

    fn check(&self, authorization: Option<String>) -> Check {
        let authenticator = self.shared.authenticator.clone();
        async move { authenticator.authenticate(authorization.as_deref()).await }.boxed()
    }
}
