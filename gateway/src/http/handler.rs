//! GraphQL over HTTP (<https://graphql.github.io/graphql-over-http/draft/>), with the status codes that the
//! `graphql-http` audits expect where they and the newest draft differ: 400, not 422, for documents that don't validate.

use std::{collections::HashMap, sync::Arc};

use async_graphql::{Executor, parser::types::OperationType};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, Version, header};
use axum::middleware::Next;
use axum::response::Response;
use axum::{body::Body, http::request::Parts};
use opentelemetry::{Context, propagation::TextMapPropagator};
use opentelemetry_sdk::propagation::TraceContextPropagator;

use super::response::{HttpError, ResponseFormat, respond};
use super::{Shared, body, encoding, websocket};
use crate::query::{ExecutionResult, Trace};

/// Serves `/graphql`: GET and POST are requests, an upgrade is a socket.
pub(super) async fn graphql<E: Executor>(State(shared): State<Arc<Shared<E>>>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let trace = trace(&parts.headers);
    let protocol = parts.headers.get(header::UPGRADE);
    if protocol.is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        let accepted = match websocket::Upgrade::from_parts(&mut parts).await {
            Ok(upgrade) => websocket::accept(shared, upgrade, &parts).await,
            Err(error) => Err(error),
        };
        return accepted.unwrap_or_else(|error| error.respond(ResponseFormat::Json, &trace));
    }
    let Some(format) = ResponseFormat::preferred(&parts.headers) else {
        return HttpError::NotAcceptable.respond(ResponseFormat::Json, &trace);
    };
    match execute(&shared, &parts, body, &trace).await {
        Ok(result) => respond(result, format),
        Err(error) => error.respond(format, &trace),
    }
}

async fn execute<E: Executor>(
    shared: &Shared<E>,
    parts: &Parts,
    body: Body,
    trace: &Trace,
) -> Result<ExecutionResult, HttpError> {
    let is_post = match parts.method {
        Method::POST => true,
        // A HEAD's body is left out when it is written.
        Method::GET | Method::HEAD => false,
        _ => return Err(HttpError::MethodNotAllowed),
    };
    if is_post {
        body::check_content_type(&parts.headers)?;
    }
    let address = shared.rate_limits.address(parts);
    shared.rate_limits.check_address(address, 1).map_err(HttpError::RateLimited)?;
    let _permit = shared.executor.admit()?;
    let authorization = parts.headers.get(header::AUTHORIZATION);
    let authorization = authorization.map(|value| value.to_str().map_err(|_| HttpError::BadToken));
    let viewer = shared.authenticator.authenticate(authorization.transpose()?).await?;
    shared.rate_limits.check_viewer(viewer.as_ref(), 1).map_err(HttpError::RateLimited)?;
    let request =
        if is_post { body::read(body, &shared.limits).await? } else { body::from_query_string(&parts.uri)? };
    let operation = match shared.executor.prepare(request.data(viewer), trace).await {
        Ok(operation) => operation,
        Err(errors) => return Ok(ExecutionResult::request_errors(errors, trace)),
    };
    match operation.kind {
        OperationType::Subscription => {
            let message = "subscriptions are served over WebSocket, with the graphql-transport-ws protocol";
            Err(HttpError::BadRequest(message.into()))
        }
        OperationType::Mutation if !is_post => Err(HttpError::MutationByGet),
        OperationType::Query | OperationType::Mutation => Ok(shared.executor.execute(operation).await),
    }
}

/// Continues the client's trace (W3C `traceparent`), or begins one.
fn trace(headers: &HeaderMap) -> Trace {
    if !headers.contains_key("traceparent") {
        return Trace::root();
    }
    let text = |name: &str| Some((name.to_owned(), headers.get(name)?.to_str().ok()?.to_owned()));
    let carrier: HashMap<String, String> =
        ["traceparent", "tracestate"].into_iter().filter_map(text).collect();
    // Not the current context: the request that this connection served before is no parent.
    Trace::continuing(&TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier))
}

/// Answers a request to a path that there is not.
pub(super) async fn not_found() -> Response {
    HttpError::NotFound.respond(ResponseFormat::Json, &Trace::root())
}

/// Answers a request by a method that its path does not have.
pub(super) async fn method_not_allowed() -> Response {
    HttpError::OnlyGet.respond(ResponseFormat::Json, &Trace::root())
}

/// Refuses a request that names no host, or several (RFC 9112, section 3.2), since what stands in front may have meant
/// another one; and a body in an encoding that can't be read.
pub(super) async fn check_head(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let hosts = headers.get_all(header::HOST).iter().count();
    let names_host = match request.version() {
        Version::HTTP_11 => hosts == 1,
        _ => hosts <= 1,
    };
    let error = if !names_host {
        HttpError::BadRequest("a request names its host, once".into())
    } else if !headers.get_all(header::CONTENT_ENCODING).iter().all(encoding::is_readable_encoding) {
        HttpError::UnsupportedEncoding
    } else {
        return next.run(request).await;
    };
    error.respond(ResponseFormat::Json, &trace(request.headers()))
}

/// Answers a request whose handling panicked. The panic's text stays in the log.
pub(super) fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    HttpError::Internal.respond(ResponseFormat::Json, &Trace::root())
}
