use std::future::Future;
use std::net::SocketAddr;

use axum::extract::{ConnectInfo, DefaultBodyLimit};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

use super::AdminServer;
use crate::config::Secret;

/// Where the desk is found below the admin address.
pub const ADMIN_REQUEST_PATH: &str = "/admin/desk";
/// Bytes of one question to the desk.
const QUESTION_MAX_BYTES: usize = 4 << 20;

impl AdminServer {
    /// Adds a desk for the operator's commands: questions posted to [`ADMIN_REQUEST_PATH`] as JSON, with `secret` as the bearer
    /// token, from this machine alone, are handed to `answer`. Its error is told to the operator, with status 502.
    #[must_use]
    pub fn with_request_handler<F, A>(self, secret: Secret, answer: F) -> Self
    where
        F: Fn(Value) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = Result<Value, String>> + Send + 'static,
    {
        let desk =
            move |ConnectInfo(peer): ConnectInfo<SocketAddr>, headers: HeaderMap, question: Json<Value>| {
                let admitted = peer.ip().to_canonical().is_loopback() && carries(&headers, &secret);
                let answer = admitted.then(|| answer(question.0));
                async move {
                    match answer {
                        None => refusal(StatusCode::FORBIDDEN, "not the operator"),
                        Some(answer) => match answer.await {
                            Ok(answer) => Json(answer).into_response(),
                            Err(reason) => refusal(StatusCode::BAD_GATEWAY, &reason),
                        },
                    }
                }
            };
        let route = post(desk).layer(DefaultBodyLimit::max(QUESTION_MAX_BYTES));
        self.merge(Router::new().route(ADMIN_REQUEST_PATH, route))
    }
}

fn refusal(status: StatusCode, reason: &str) -> Response {
    (status, Json(json!({ "error": reason }))).into_response()
}

/// Compares in a time that tells nothing of where the two differ.
fn carries(headers: &HeaderMap, secret: &Secret) -> bool {
    let given = headers.get(header::AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
    let given = given.strip_prefix(b"Bearer ").unwrap_or_default();
    let wanted = secret.expose().as_bytes();
    let differences = given.iter().zip(wanted).fold(0_u8, |found, (given, wanted)| found | (given ^ wanted));
    !wanted.is_empty() && given.len() == wanted.len() && differences == 0
}
