//! Reads a GraphQL request: from a POST's body, of one type only, within a size and a time; from a GET's query string;
//! from a JSON object, which WebSocket messages carry too.

use std::borrow::Cow;

use async_graphql::{Request, Variables};
use axum::http::{HeaderMap, Uri, header};
use axum::{body::Body, extract::Query};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Limits, response::HttpError};

/// How much of an oversized body is read and discarded, in multiples of the limit: a client that is still sending when
/// the connection closes never reads the response.
const DISCARDED_BODIES: usize = 16;

/// Demands JSON in UTF-8. Types that a foreign page's form can send are refused with the rest, so that no browser can be
/// made to post here without a preflight request.
pub(super) fn check_content_type(headers: &HeaderMap) -> Result<(), HttpError> {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = content_type.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/json"));
    let is_utf8 = parts
        .filter_map(|parameter| parameter.split_once('='))
        .filter(|(key, _)| key.eq_ignore_ascii_case("charset"))
        .all(|(_, charset)| charset.trim_matches('"').eq_ignore_ascii_case("utf-8"));
    (is_json && is_utf8).then_some(()).ok_or(HttpError::UnsupportedMediaType)
}

pub(super) async fn read(body: Body, limits: &Limits) -> Result<Request, HttpError> {
    let bytes = tokio::time::timeout(limits.body_timeout, collect(body, limits.max_body_bytes))
        .await
        .map_err(|_| HttpError::SlowBody)??;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(fields)) => from_json(fields).map_err(bad_request),
        Ok(Value::Array(_)) => Err(bad_request("batches are not supported: send each operation by itself")),
        Ok(_) => Err(bad_request("the body must be a JSON object")),
        Err(_) => Err(bad_request("the body is not JSON")),
    }
}

async fn collect(body: Body, limit: usize) -> Result<Vec<u8>, HttpError> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut received = 0_usize;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| bad_request("the body ended too early"))?;
        received += chunk.len();
        if received <= limit {
            bytes.extend_from_slice(&chunk);
        } else if received > limit.saturating_mul(DISCARDED_BODIES) {
            break;
        }
    }
    if received <= limit { Ok(bytes) } else { Err(HttpError::PayloadTooLarge(limit)) }
}

pub(super) fn from_query_string(uri: &Uri) -> Result<Request, HttpError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Parameters {
        query: Option<String>,
        operation_name: Option<String>,
        variables: Option<String>,
        extensions: Option<String>,
    }
    let Query(parameters) =
        Query::<Parameters>::try_from_uri(uri).map_err(|_| bad_request("the query string is malformed"))?;
    let mut fields = Map::new();
    for (name, text) in [("query", parameters.query), ("operationName", parameters.operation_name)] {
        fields.extend(text.map(|text| (name.to_owned(), Value::String(text))));
    }
    for (name, json) in [("variables", parameters.variables), ("extensions", parameters.extensions)] {
        let Some(json) = json.filter(|json| !json.is_empty()) else { continue };
        let value = serde_json::from_str(&json).map_err(|_| bad_request(format!("{name} must be JSON")))?;
        fields.insert(name.to_owned(), value);
    }
    from_json(fields).map_err(bad_request)
}

fn bad_request(message: impl Into<Cow<'static, str>>) -> HttpError {
    HttpError::BadRequest(message.into())
}

/// Reads a request from its JSON object, ignoring fields that the gateway doesn't know. The error tells the client which
/// field is not what it must be.
pub(super) fn from_json(mut fields: Map<String, Value>) -> Result<Request, &'static str> {
    let query = match fields.remove("query") {
        Some(Value::String(query)) => query,
        Some(_) => return Err("query must be a string"),
        None => return Err("query is missing"),
    };
    let mut given = |name| fields.remove(name).filter(|value| !value.is_null());
    let mut request = Request::new(query);
    request.operation_name = match given("operationName") {
        None => None,
        // Forms send an empty name if they mean none.
        Some(Value::String(name)) => Some(name).filter(|name| !name.is_empty()),
        Some(_) => return Err("operationName must be a string or null"),
    };
    match given("variables") {
        None => {}
        Some(variables @ Value::Object(_)) => request.variables = Variables::from_json(variables),
        Some(_) => return Err("variables must be an object or null"),
    }
    match given("extensions") {
        None => {}
        Some(extensions @ Value::Object(_)) => {
            request.extensions = serde_json::from_value(extensions)
                .map_err(|_| "extensions hold a value that GraphQL can't express")?;
        }
        Some(_) => return Err("extensions must be an object or null"),
    }
    Ok(request)
}
