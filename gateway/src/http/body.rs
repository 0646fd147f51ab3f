//! Reads a GraphQL request: from a POST's body, of one type only, within a size and a time; from a GET's query string;
//! from a JSON object, which WebSocket messages carry too.

use std::{borrow::Cow, collections::HashMap};

use async_graphql::Data;
use axum::http::{HeaderMap, Uri, header};
use axum::{body::Body, extract::Query};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Limits, response::HttpError};
use crate::query::{DocumentSource, GraphqlRequest};

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

pub(super) async fn read(body: Body, limits: &Limits) -> Result<GraphqlRequest, HttpError> {
    let bytes = tokio::time::timeout(limits.body_timeout, collect(body, limits.max_body_bytes))
        .await
        .map_err(|_| HttpError::SlowBody)??;
    let Ok(json) = serde_json::from_slice::<&RawValue>(&bytes) else {
        return Err(bad_request("the body is not JSON"));
    };
    match json.get().as_bytes() {
        [b'{', ..] => from_json(json).map_err(bad_request),
        [b'[', ..] => Err(bad_request("batches are not supported: send each operation by itself")),
        _ => Err(bad_request("the body must be a JSON object")),
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

pub(super) fn from_query_string(uri: &Uri) -> Result<GraphqlRequest, HttpError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct QueryString {
        query: Option<String>,
        operation_name: Option<String>,
        variables: Option<String>,
        extensions: Option<String>,
    }
    let Query(given) =
        Query::<QueryString>::try_from_uri(uri).map_err(|_| bad_request("the query string is malformed"))?;
    let json = |name: &str, text: Option<String>| {
        let text = text.filter(|text| !["", "null"].contains(&text.trim()));
        let read = text.map(RawValue::from_string).transpose();
        read.map_err(|_| bad_request(format!("{name} must be JSON")))
    };
    let parameters = Parameters {
        query: given.query,
        operation_name: given.operation_name,
        variables: json("variables", given.variables)?,
        extensions: json("extensions", given.extensions)?,
    };
    parameters.into_request().map_err(bad_request)
}

fn bad_request(message: impl Into<Cow<'static, str>>) -> HttpError {
    HttpError::BadRequest(message.into())
}

/// Reads a request from its JSON object, ignoring fields that the gateway doesn't know. The error tells the client which
/// field is not what it must be.
pub(super) fn from_json(json: &RawValue) -> Result<GraphqlRequest, &'static str> {
    let fields: HashMap<String, &RawValue> =
        serde_json::from_str(json.get()).map_err(|_| "the request's fields must have Unicode names")?;
    let given = |name| fields.get(name).copied().filter(|json| json.get() != "null");
    let text =
        |name, error| given(name).map(|json| serde_json::from_str(json.get())).transpose().map_err(|_| error);
    let parameters = Parameters {
        query: text("query", "query must be a string")?,
        operation_name: text("operationName", "operationName must be a string or null")?,
        variables: given("variables").map(ToOwned::to_owned),
        extensions: given("extensions").map(ToOwned::to_owned),
    };
    let extensions = RequestExtensions::read(parameters.extensions.as_deref());
    if parameters.query.is_none() && fields.contains_key("query") && !extensions.names_persisted_query() {
        return Err("query must be a string");
    }
    parameters.into_request()
}

/// A request's parameters, without those that are null.
struct Parameters {
    query: Option<String>,
    operation_name: Option<String>,
    variables: Option<Box<RawValue>>,
    extensions: Option<Box<RawValue>>,
}

impl Parameters {
    fn into_request(self) -> Result<GraphqlRequest, &'static str> {
        let is_object = |json: &Option<Box<RawValue>>| {
            json.as_ref().is_none_or(|json| json.get().trim_start().starts_with('{'))
        };
        let extensions = RequestExtensions::read(self.extensions.as_deref());
        let is_persisted = self.query.is_none() && extensions.names_persisted_query();
        let document = match self.query {
            Some(query) => DocumentSource::Text(query),
            None if is_persisted => DocumentSource::PersistedQuery,
            None => return Err("query is missing"),
        };
        if !is_object(&self.variables) {
            return Err("variables must be an object or null");
        }
        if !is_object(&self.extensions) {
            return Err("extensions must be an object or null");
        }
        Ok(GraphqlRequest {
            document,
            // Forms send an empty name if they mean none.
            operation_name: self.operation_name.filter(|name| !name.is_empty()),
            variables: self.variables,
            wants_cost: extensions.cost.is_some_and(|cost| cost.get() == "true"),
            data: Data::default(),
        })
    }
}

/// The extensions that the gateway knows.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestExtensions<'a> {
    #[serde(borrow)]
    persisted_query: Option<&'a RawValue>,
    #[serde(borrow)]
    cost: Option<&'a RawValue>,
}

impl<'a> RequestExtensions<'a> {
    fn read(json: Option<&'a RawValue>) -> Self {
        json.and_then(|json| serde_json::from_str(json.get()).ok()).unwrap_or_default()
    }

    /// Whether they name a document by its hash.
    fn names_persisted_query(&self) -> bool {
        self.persisted_query.is_some_and(|query| query.get().starts_with('{'))
    }
}
