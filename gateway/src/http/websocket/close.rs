use std::borrow::Cow;

use axum::extract::ws::CloseFrame;

/// A close frame's reason has room for 123 bytes (RFC 6455, section 5.5).
const MAX_REASON_BYTES: usize = 123;

/// Why the gateway closes a socket.
#[derive(Debug)]
pub(super) enum Close {
    /// The gateway is stopping.
    GoingAway,
    /// A message over the limit.
    MessageTooBig,
    /// The keys to check a token with are missing; the same token may do later.
    TryAgainLater,
    /// A message that is not one of the protocol's.
    BadRequest(Cow<'static, str>),
    /// An operation before the handshake.
    Unauthorized,
    /// A bad token.
    Forbidden,
    /// The token has ended.
    TokenExpired,
    /// None of the client's subprotocols is spoken here.
    SubprotocolNotAcceptable,
    /// No `connection_init` in time.
    InitTimeout,
    /// An operation under an id that is in use.
    SubscriberExists(String),
    /// A second `connection_init`.
    TooManyInits,
}

impl Close {
    pub(super) fn frame(&self) -> CloseFrame {
        let (code, reason): (u16, Cow<'_, str>) = match self {
            Self::GoingAway => (1001, "going away".into()),
            Self::MessageTooBig => (1009, "message too big".into()),
            Self::TryAgainLater => (1013, "try again later".into()),
            Self::BadRequest(reason) => (4400, reason.as_ref().into()),
            Self::Unauthorized => (4401, "Unauthorized".into()),
            Self::Forbidden => (4403, "Forbidden".into()),
            Self::TokenExpired => (4403, "token expired".into()),
            Self::SubprotocolNotAcceptable => (4406, "Subprotocol not acceptable".into()),
            Self::InitTimeout => (4408, "Connection initialisation timeout".into()),
            Self::SubscriberExists(id) => (4409, format!("Subscriber for {id} already exists").into()),
            Self::TooManyInits => (4429, "Too many initialisation requests".into()),
        };
        let end = reason.floor_char_boundary(MAX_REASON_BYTES);
        CloseFrame { code, reason: reason[..end].into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_cut_to_what_a_close_frame_holds() {
        let frame = Close::SubscriberExists("ü".repeat(200)).frame();
        assert_eq!(frame.code, 4409);
        assert!(frame.reason.len() <= MAX_REASON_BYTES);
        assert!(frame.reason.starts_with("Subscriber for ü"));
    }
}
