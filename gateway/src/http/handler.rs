//! GraphQL over HTTP (<https://graphql.github.io/graphql-over-http/draft/>), with the status codes that the
//! `graphql-http` audits expect where they and the newest draft differ: 400, not 422, for documents that don't validate.

use std::{collections::HashMap, future::ready, sync::Arc};

use async_graphql::{Executor, parser::types::OperationType};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Version, header};
use axum::middleware::Next;
use axum::response::Response;
use axum::{body::Body, http::request::Parts};
use opentelemetry::{Context, propagation::TextMapPropagator};
use opentelemetry_sdk::propagation::TraceContextPropagator;

use super::body::RequestBody;
use super::headers::{REQUEST_ID, TRACE_RESPONSE, request_id};
use super::response::{HttpError, ResponseFormat, respond, respond_to_batch};
use super::stream::{StreamFormat, StreamRequest, redeem_ticket};
use super::{Shared, body, csrf, encoding, websocket};
use crate::auth::Viewer;
use crate::query::{ErrorCode, ExecutionResult, GraphqlRequest, Trace};

const SUBSCRIPTIONS: &str = "a subscription is served over WebSocket, with the graphql-transport-ws protocol, or as a response \
    of type text/event-stream or multipart/mixed;subscriptionSpec=1.0: accept one of them";

/// Serves `/graphql`: GET and POST are requests, an upgrade is a socket.
pub(super) async fn graphql<E: Executor>(State(shared): State<Arc<Shared<E>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let trace = trace(&parts.headers);
    let response = respond_to(shared, parts, body, &trace).await;
    traced(response, &trace)
}

/// Names the trace, also as the request's id for a client that has given it none.
fn traced(mut response: Response, trace: &Trace) -> Response {
    for (name, value) in [(REQUEST_ID, trace.id().to_string()), (TRACE_RESPONSE, trace.response())] {
        response.headers_mut().extend(HeaderValue::try_from(value).ok().map(|value| (name, value)));
    }
    response
}

async fn respond_to<E: Executor>(
    shared: Arc<Shared<E>>,
    mut parts: Parts,
    body: Body,
    trace: &Trace,
) -> Response {
    let protocol = parts.headers.get(header::UPGRADE);
    if protocol.is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket")) {
        let accepted = match websocket::Upgrade::from_parts(&mut parts).await {
            Ok(upgrade) => websocket::accept(shared, upgrade, &parts).await,
            Err(error) => Err(error),
        };
        return accepted.unwrap_or_else(|error| error.respond(ResponseFormat::Json, trace));
    }
    let accepted = Accepted::from_headers(&parts.headers);
    let format = accepted.error_format();
    if accepted.is_none() {
        return HttpError::NotAcceptable.respond(format, trace);
    }
    let is_get = [Method::GET, Method::HEAD].contains(&parts.method);
    if is_get && !csrf::is_preflighted(&parts.headers) {
        return HttpError::NotPreflighted.respond(format, trace);
    }
    let viewer = viewer(&shared, &parts);
    let response = execute(&shared, &parts, body, viewer, accepted, trace).await;
    response.unwrap_or_else(|error| error.respond(format, trace))
}

/// Serves `/graphql/stream/{ticket}`: an event stream for an EventSource, which can send no token.
pub(super) async fn graphql_by_ticket<E: Executor>(
    State(shared): State<Arc<Shared<E>>>,
    Path(ticket): Path<String>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let trace = trace(&parts.headers);
    let accepted = Accepted { response: None, stream: Some(StreamFormat::EventStream) };
    let response = async {
        let (viewer, cookie) = redeem_ticket(&shared, &ticket, &parts).await?;
        let mut response = execute(&shared, &parts, body, ready(Ok(Some(viewer))), accepted, &trace).await?;
        response.headers_mut().extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
        Ok(response)
    };
    let response = response.await;
    traced(response.unwrap_or_else(|error: HttpError| error.respond(ResponseFormat::Json, &trace)), &trace)
}

/// What a response may be.
#[derive(Clone, Copy)]
struct Accepted {
    response: Option<ResponseFormat>,
    stream: Option<StreamFormat>,
}

impl Accepted {
    fn from_headers(headers: &HeaderMap) -> Self {
        Self { response: ResponseFormat::preferred(headers), stream: StreamFormat::requested(headers) }
    }

    fn is_none(self) -> bool {
        self.response.is_none() && self.stream.is_none()
    }

    fn error_format(self) -> ResponseFormat {
        self.response.unwrap_or(ResponseFormat::Json)
    }
}

async fn viewer<E>(shared: &Shared<E>, parts: &Parts) -> Result<Option<Viewer>, HttpError> {
    let authorization = parts.headers.get(header::AUTHORIZATION);
    let authorization = authorization.map(|value| value.to_str().map_err(|_| HttpError::BadToken));
    Ok(shared.authenticator.authenticate(authorization.transpose()?).await?)
}

async fn execute<E: Executor>(
    shared: &Arc<Shared<E>>,
    parts: &Parts,
    body: Body,
    viewer: impl Future<Output = Result<Option<Viewer>, HttpError>>,
    accepted: Accepted,
    trace: &Trace,
) -> Result<Response, HttpError> {
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
    let viewer = viewer.await?;
    shared.rate_limits.check_viewer(viewer.as_ref(), 1).map_err(HttpError::RateLimited)?;
    let request = if is_post {
        match body::read(body, &shared.limits).await? {
            RequestBody::One(request) => request,
            RequestBody::Batch(requests) => {
                // One has been counted.
                let others = u32::try_from(requests.len() - 1).unwrap_or(u32::MAX);
                shared.rate_limits.check_address(address, others).map_err(HttpError::RateLimited)?;
                shared.rate_limits.check_viewer(viewer.as_ref(), others).map_err(HttpError::RateLimited)?;
                let _permits = shared.executor.admit_many(others)?;
                // Boxed, so that single requests need no room for it.
                let results = Box::pin(execute_batch(shared, requests, viewer, trace)).await?;
                return Ok(respond_to_batch(&results));
            }
        }
    } else {
        body::from_query_string(&parts.uri)?
    };
    let format = accepted.response.unwrap_or(ResponseFormat::Json);
    let mut request = match shared.executor.resolve(request) {
        Ok(request) => request,
        Err(errors) => return Ok(respond(ExecutionResult::request_errors(errors, trace), format)),
    };
    let mut stream = None;
    if let Some(format) = accepted.stream {
        let (streamed, prepared) =
            StreamRequest::new(format, &parts.headers, viewer.as_ref(), request, shared);
        (stream, request) = (Some(streamed), prepared);
    }
    let result = match shared.executor.prepare(request.data(viewer), trace).await {
        Ok(operation) => match operation.kind {
            OperationType::Subscription => {
                let stream = stream.ok_or(HttpError::BadRequest(SUBSCRIPTIONS.into()))?;
                return stream.subscribe(operation, trace, shared);
            }
            OperationType::Mutation if !is_post => return Err(HttpError::MutationByGet),
            OperationType::Query | OperationType::Mutation => shared.executor.execute(operation).await,
        },
        Err(errors) => ExecutionResult::request_errors(errors, trace),
    };
    match (accepted.response, stream) {
        (None, Some(stream)) => Ok(stream.respond(result)),
        _ => Ok(respond(result, format)),
    }
}

/// Executes the requests of a batch at the same time, as if each had been sent by itself.
async fn execute_batch<E: Executor>(
    shared: &Shared<E>,
    requests: Vec<GraphqlRequest>,
    viewer: Option<Viewer>,
    trace: &Trace,
) -> Result<Vec<ExecutionResult>, HttpError> {
    let mut prepared = Vec::with_capacity(requests.len());
    for request in requests {
        let operation = shared.executor.prepare(request.data(viewer.clone()), trace).await;
        prepared.push(operation.and_then(|operation| match operation.kind {
            OperationType::Subscription => Err(vec![ErrorCode::BadUserInput.error(SUBSCRIPTIONS).into()]),
            OperationType::Query | OperationType::Mutation => Ok(operation),
        }));
    }
    let operations: Vec<_> = prepared.iter().filter_map(|operation| operation.as_ref().ok()).collect();
    shared.executor.check_together(&operations).map_err(HttpError::TooComplex)?;
    let results = prepared.into_iter().map(|operation| async move {
        match operation {
            Ok(operation) => shared.executor.execute(operation).await,
            Err(errors) => ExecutionResult::request_errors(errors, trace),
        }
    });
    Ok(futures::future::join_all(results).await)
}

/// Continues the client's trace (W3C `traceparent`), or begins one.
fn trace(headers: &HeaderMap) -> Trace {
    let request_id = request_id(headers).and_then(|id| id.to_str().ok());
    if !headers.contains_key("traceparent") {
        return Trace::continuing(&Context::new(), request_id);
    }
    let text = |name: &str| Some((name.to_owned(), headers.get(name)?.to_str().ok()?.to_owned()));
    let carrier: HashMap<String, String> =
        ["traceparent", "tracestate"].into_iter().filter_map(text).collect();
    // Not the current context: the request that this connection served before is no parent.
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    Trace::continuing(&parent, request_id)
}

/// Answers a request to a path that there is not.
pub(super) async fn not_found() -> Response {
    HttpError::NotFound.respond(ResponseFormat::Json, &Trace::root())
}

/// Answers a request by a method that its path does not have.
pub(super) async fn method_not_allowed() -> Response {
    HttpError::OnlyGet.respond(ResponseFormat::Json, &Trace::root())
}

/// Bytes of a request's target. hyper refuses those beyond 64 KiB itself, without a body.
const MAX_TARGET_BYTES: usize = 32 * 1024;
/// Header fields of a request, and bytes of their names and values. hyper refuses those beyond 100 and 400 KiB itself, without
/// a body.
const MAX_HEADER_FIELDS: usize = 80;
const MAX_HEADER_BYTES: usize = 64 * 1024;

/// Refuses a request whose target or header is too long; one that names no host, or several (RFC 9112, section 3.2), since
/// what stands in front may have meant another one; and a body in an encoding that can't be read.
pub(super) async fn check_head(request: Request, next: Next) -> Response {
    let headers = request.headers();
    let hosts = headers.get_all(header::HOST).iter().count();
    let names_host = match request.version() {
        Version::HTTP_11 => hosts == 1,
        _ => hosts <= 1,
    };
    let field_bytes = headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    let target_bytes = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let error = if target_bytes > MAX_TARGET_BYTES {
        HttpError::TargetTooLong(MAX_TARGET_BYTES)
    } else if headers.len() > MAX_HEADER_FIELDS || field_bytes.sum::<usize>() > MAX_HEADER_BYTES {
        HttpError::HeaderTooLarge { fields: MAX_HEADER_FIELDS, bytes: MAX_HEADER_BYTES }
    } else if !names_host {
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
