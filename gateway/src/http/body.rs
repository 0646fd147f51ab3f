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

/// What a POST's body asks for.
pub(super) enum RequestBody {
    One(GraphqlRequest),
    /// An array of requests, each of which has a result of its own.
    Batch(Vec<GraphqlRequest>),
}

pub(super) async fn read(body: Body, limits: &Limits) -> Result<RequestBody, HttpError> {
    let bytes = tokio::time::timeout(limits.body_timeout, collect(body, limits.max_body_bytes))
        .await
        .map_err(|_| HttpError::SlowBody)??;
    let Ok(json) = serde_json::from_slice::<&RawValue>(&bytes) else {
        return Err(bad_request("the body is not JSON"));
    };
    match json.get().as_bytes() {
        [b'{', ..] => from_json(json).map(RequestBody::One).map_err(bad_request),
        [b'[', ..] => batch(json, limits.max_batch).map(RequestBody::Batch).map_err(bad_request),
        _ => Err(bad_request("the body must be a JSON object")),
    }
}

fn batch(json: &RawValue, max_batch: usize) -> Result<Vec<GraphqlRequest>, Cow<'static, str>> {
    if max_batch == 0 {
        return Err("batches are not supported: send each operation by itself".into());
    }
    let requests: Vec<&RawValue> = serde_json::from_str(json.get()).map_err(|_| "the batch can't be read")?;
    if requests.is_empty() {
        return Err("a batch must hold a request".into());
    }
    if requests.len() > max_batch {
        return Err(format!("a batch may hold at most {max_batch} requests").into());
    }
    let request = |json: &RawValue| match json.get().starts_with('{') {
        true => from_json(json),
        false => Err("each request of a batch must be a JSON object"),
    };
    Ok(requests.into_iter().map(request).collect::<Result<_, _>>()?)
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
        document_id: Option<String>,
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
        document_id: given.document_id,
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
        query: text("query", "query must be a string of Unicode characters")?,
        operation_name: text("operationName", "operationName must be a string or null")?,
        variables: given("variables").map(ToOwned::to_owned),
        extensions: given("extensions").map(ToOwned::to_owned),
        document_id: text("documentId", "documentId must be a string")?
            .or(text("doc_id", "doc_id must be a string")?),
    };
    let extensions = RequestExtensions::read(parameters.extensions.as_deref());
    let is_named = parameters.document_id.is_some() || extensions.hash().is_some();
    if parameters.query.is_none() && fields.contains_key("query") && !is_named {
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
    /// As GraphQL over HTTP names it, and as Relay's examples do.
    document_id: Option<String>,
}

impl Parameters {
    fn into_request(self) -> Result<GraphqlRequest, &'static str> {
        let is_object = |json: &Option<Box<RawValue>>| {
            json.as_ref().is_none_or(|json| json.get().trim_start().starts_with('{'))
        };
        let extensions = RequestExtensions::read(self.extensions.as_deref());
        let hash = extensions.hash();
        let is_named = hash.is_some() || self.document_id.is_some();
        // Clients that have to send a document, and only name it, leave it empty.
        let text = self.query.filter(|text| !(text.is_empty() && is_named));
        let document = match (text, hash, self.document_id) {
            (Some(text), Some(hash), _) => DocumentSource::Registration { text, hash },
            (Some(text), None, _) => DocumentSource::Text(text),
            (None, _, Some(id)) | (None, Some(id), None) => DocumentSource::Id(id),
            (None, None, None) => return Err("query is missing"),
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

    /// Returns the hash by which they name a document, if they do so as the gateway understands it.
    fn hash(&self) -> Option<String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct PersistedQuery {
            version: u32,
            sha256_hash: String,
        }
        let query: PersistedQuery = serde_json::from_str(self.persisted_query?.get()).ok()?;
        (query.version == 1).then_some(query.sha256_hash)
    }
}
