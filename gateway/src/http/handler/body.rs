//! Reading a POST's body: of one type only, within a size and a time.

use axum::{
    body::Body,
    http::{HeaderMap, header},
};
use futures::StreamExt;
use serde_json::Value;

use super::Refusal;
use crate::http::{Limits, engine::GraphqlRequest};

/// How much of an oversized body is read away, in multiples of the limit: a client that is still
/// sending when the connection closes never sees why.
const DISCARDED_BODIES: usize = 16;

/// Demands JSON in UTF-8. Types that a foreign page's form can send are refused with the rest, so
/// that no browser can be made to post here without asking first.
pub(super) fn check_content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = content_type.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/json"));
    let is_utf8 = parts
        .filter_map(|parameter| parameter.split_once('='))
        .filter(|(key, _)| key.eq_ignore_ascii_case("charset"))
        .all(|(_, charset)| charset.trim_matches('"').eq_ignore_ascii_case("utf-8"));
    (is_json && is_utf8).then_some(()).ok_or_else(Refusal::unsupported_media_type)
}

/// Reads a request from a body.
pub(super) async fn read(body: Body, limits: &Limits) -> Result<GraphqlRequest, Refusal> {
    let bytes = tokio::time::timeout(limits.body_timeout, collect(body, limits.max_body_bytes))
        .await
        .map_err(|_| Refusal::slow_body())??;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(fields)) => GraphqlRequest::from_json(fields).map_err(Refusal::bad_request),
        Ok(Value::Array(_)) => {
            Err(Refusal::bad_request("batches are not supported: send each operation by itself"))
        }
        Ok(_) => Err(Refusal::bad_request("the body must be a JSON object")),
        Err(_) => Err(Refusal::bad_request("the body is not JSON")),
    }
}

async fn collect(body: Body, limit: usize) -> Result<Vec<u8>, Refusal> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut received = 0_usize;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Refusal::bad_request("the body ended too early"))?;
        received += chunk.len();
        if received <= limit {
            bytes.extend_from_slice(&chunk);
        } else if received > limit.saturating_mul(DISCARDED_BODIES) {
            break;
        }
    }
    if received > limit {
        return Err(Refusal::payload_too_large(limit));
    }
    Ok(bytes)
}
