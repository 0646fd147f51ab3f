//! GraphQL over HTTP (<https://graphql.github.io/graphql-over-http/draft/>), with the status codes
//! that the `graphql-http` audits expect where they and the newest draft differ: 400, not 422, for
//! documents that don't validate.

mod body;
mod media;
mod refusal;
mod reply;

use std::sync::Arc;

use async_graphql::{Executor, parser::types::OperationType};
use axum::{
    extract::{FromRequestParts, Query, Request, State, WebSocketUpgrade},
    http::{HeaderMap, Method, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Map, Value};

pub(super) use self::refusal::Refusal;
use self::{media::Media, reply::reply};
use super::{ErrorCode, Shared, engine::GraphqlRequest, outcome::GraphqlResult, trace::Trace, websocket};
use crate::auth::Viewer;

/// `/graphql`: GET and POST are requests, an upgrade is a socket.
pub(super) async fn graphql<E: Executor>(State(shared): State<Arc<Shared<E>>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let trace = Trace::from_headers(&parts.headers);
    if wants_socket(&parts.headers) {
        return match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
            Ok(upgrade) => websocket::accept(shared, upgrade, &parts.headers)
                .unwrap_or_else(|refusal| refusal.respond(Media::Json, &trace)),
            Err(rejection) => rejection.into_response(),
        };
    }
    let Some(media) = Media::preferred(&parts.headers) else {
        return Refusal::not_acceptable().respond(Media::Json, &trace);
    };
    match answer(&shared, &parts, body, &trace).await {
        Ok(result) => reply(&result, media),
        Err(refusal) => refusal.respond(media, &trace),
    }
}

async fn answer<E: Executor>(
    shared: &Shared<E>,
    parts: &Parts,
    body: axum::body::Body,
    trace: &Trace,
) -> Result<GraphqlResult, Refusal> {
    let reads_body = match parts.method {
        Method::POST => true,
        Method::GET => false,
        _ => return Err(Refusal::method_not_allowed("GET, POST")),
    };
    if reads_body {
        body::check_content_type(&parts.headers)?;
    }
    let _permit = shared.engine.admit()?;
    let caller = authenticate(shared, &parts.headers).await?;
    let asked =
        if reads_body { body::read(body, &shared.limits).await? } else { from_query_string(&parts.uri)? };
    let operation = match shared.engine.prepare(asked, &caller, trace).await {
        Ok(operation) => operation,
        Err(error) => return Ok(GraphqlResult::request_error(error, trace.id)),
    };
    match operation.kind {
        OperationType::Subscription => Err(Refusal::subscription()),
        OperationType::Mutation if !reads_body => Err(Refusal::mutation_by_get()),
        OperationType::Query | OperationType::Mutation => Ok(shared.engine.execute(operation).await),
    }
}

async fn authenticate<E>(shared: &Shared<E>, headers: &HeaderMap) -> Result<Option<Viewer>, Refusal> {
    let authorization = headers
        .get(header::AUTHORIZATION)
        .map(|value| value.to_str().map_err(|_| Refusal::bad_token()))
        .transpose()?;
    Ok(shared.authenticator.authenticate(authorization).await?)
}

fn from_query_string(uri: &Uri) -> Result<GraphqlRequest, Refusal> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Parameters {
        query: Option<String>,
        operation_name: Option<String>,
        variables: Option<String>,
        extensions: Option<String>,
    }
    let Query(parameters) = Query::<Parameters>::try_from_uri(uri)
        .map_err(|_| Refusal::bad_request("the query string is malformed"))?;
    let mut fields = Map::new();
    for (name, text) in [("query", parameters.query), ("operationName", parameters.operation_name)] {
        fields.extend(text.map(|text| (name.to_owned(), Value::String(text))));
    }
    for (name, json) in [("variables", parameters.variables), ("extensions", parameters.extensions)] {
        let Some(json) = json.filter(|json| !json.is_empty()) else {
            continue;
        };
        let value =
            serde_json::from_str(&json).map_err(|_| Refusal::bad_request(format!("{name} must be JSON")))?;
        fields.insert(name.to_owned(), value);
    }
    GraphqlRequest::from_json(fields).map_err(Refusal::bad_request)
}

fn wants_socket(headers: &HeaderMap) -> bool {
    headers
        .get(header::UPGRADE)
        .is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// The answer to a request whose handling panicked. The panic's text stays in our log.
pub(super) fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    Refusal::internal(ErrorCode::InternalServerError.error("internal error"))
        .respond(Media::Json, &Trace::root())
}
