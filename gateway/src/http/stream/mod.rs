//! Operations whose results are streamed in one HTTP response: server-sent events, in the distinct-connections mode of
//! graphql-sse (<https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md>), and multipart subscriptions as Apollo
//! Client speaks them.
//!
//! The response asks the operation for its next result once the client has taken the one before: a slow client slows its
//! own stream down and costs no memory.

mod event_stream;
mod multipart;
mod ticket;

use std::convert::Infallible;
use std::sync::Arc;

use async_graphql::{Executor, ServerError};
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use futures::stream::{self, BoxStream};
use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use serde::Serialize;
use tokio::time::{Instant, Interval, interval_at, sleep_until};

pub(super) use self::ticket::{Tickets, issue_ticket, redeem_ticket};
use super::Shared;
use super::accept::ranges;
use super::admission::{CustomerPermit, StreamPermit};
use super::response::HttpError;
use super::results::{Interruption, NextResult, next_result, share};
use crate::auth::{CurrentViewer, Viewer};
use crate::query::{
    ErrorCode, ExecutionResult, GraphqlError, GraphqlRequest, OVERLOAD_RETRY_AFTER, Operation, Trace,
    request_errors,
};
use crate::subscriptions::{ResumePoint, UpdateShare};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// How the results of one response are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamFormat {
    /// `text/event-stream`.
    EventStream,
    /// `multipart/mixed;subscriptionSpec=1.0`.
    Multipart,
}

/// What a response has to say.
enum Part<'a> {
    Heartbeat,
    Next {
        cursor: Option<&'a str>,
        result: &'a NextResult,
    },
    /// The operation is refused, or its result is: its last result.
    Refused(&'a [ServerError]),
    /// The operation has ended.
    Complete,
    /// The operation goes on in another response, for this reason.
    Interrupted(&'a [ServerError]),
}

/// The errors of an operation that is not executed, as a result.
#[derive(Serialize)]
struct Refused<'a> {
    errors: &'a [ServerError],
}

impl StreamFormat {
    /// Returns what the client names in `Accept`; none if it names neither.
    pub(super) fn requested(headers: &HeaderMap) -> Option<Self> {
        let mut best = None;
        for (range, quality) in ranges(headers) {
            let format = match range.name.as_str() {
                "text/event-stream" => Self::EventStream,
                "multipart/mixed" if range.parameter("subscriptionspec") == Some("1.0") => Self::Multipart,
                _ => continue,
            };
            if quality > best.map_or(0.0, |(_, best)| best) {
                best = Some((format, quality));
            }
        }
        best.map(|(format, _)| format)
    }

    fn content_type(self) -> &'static str {
        match self {
            Self::EventStream => "text/event-stream; charset=utf-8",
            Self::Multipart => multipart::CONTENT_TYPE,
        }
    }

    fn opening(self) -> String {
        match self {
            Self::EventStream => event_stream::opening(),
            Self::Multipart => multipart::opening(),
        }
    }

    fn write(self, part: &Part<'_>) -> String {
        match self {
            Self::EventStream => event_stream::write(part),
            Self::Multipart => multipart::write(part),
        }
    }

    fn response(self, body: Body) -> Response {
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type()));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        // Proxies that buffer responses would hold results back.
        headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
        response
    }
}

/// What a request brings whose results may be streamed.
pub(super) struct StreamRequest {
    pub(super) format: StreamFormat,
    viewer: Option<CurrentViewer>,
    share: Option<UpdateShare>,
    resume: Option<ResumePoint>,
}

impl StreamRequest {
    /// Prepares the request for streaming.
    pub(super) fn new<E>(
        format: StreamFormat,
        headers: &HeaderMap,
        viewer: Option<&Viewer>,
        request: GraphqlRequest,
        shared: &Shared<E>,
    ) -> (Self, GraphqlRequest) {
        let viewer = viewer.cloned().map(CurrentViewer::new);
        let share = share(&request, &shared.shared_operations, viewer.as_ref());
        let resume = (format == StreamFormat::EventStream).then(|| {
            let last = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok());
            ResumePoint::new(last.filter(|id| !id.is_empty()).map(str::to_owned))
        });
        let request = request.data(share.clone()).data(resume.clone());
        (Self { format, viewer, share, resume }, request)
    }

    /// Streams the results of a subscription.
    pub(super) fn subscribe<E: Executor>(
        self,
        operation: Operation,
        trace: &Trace,
        shared: &Arc<Shared<E>>,
    ) -> Result<Response, HttpError> {
        let Self { format, viewer, share, resume } = self;
        let viewer = viewer.map(|viewer| viewer.get());
        let permit = shared.admission.stream()?;
        let admission = &shared.admission;
        let of_customer = viewer.as_ref().map(|viewer| {
            let customer_id = &viewer.customer_id;
            Ok::<_, GraphqlError>([
                admission.stream_of(customer_id)?,
                admission.subscription_of(customer_id)?,
            ])
        });
        let of_customer = of_customer.transpose().map_err(HttpError::RateLimited)?;
        let limits = &shared.limits;
        let results = ResultStream {
            format,
            opening: Some(format.opening()),
            results: shared.executor.stream(operation).boxed(),
            share,
            resume,
            trace: trace.clone(),
            heartbeats: interval_at(Instant::now() + limits.ping_interval, limits.ping_interval),
            expires_at: viewer.map(|viewer| Instant::now() + shared.authenticator.time_left(&viewer)),
            stopping: {
                let (admission, closing) = (admission.clone(), shared.lifecycle.closing.clone());
                async move { admission.stopping(&closing).await }.boxed()
            },
            max_bytes: limits.max_outgoing_bytes,
            _permits: (permit, of_customer),
        };
        let chunks = stream::unfold(Some(results), async |results| {
            let mut results = results?;
            let (chunk, goes_on) = results.next_chunk().await;
            Some((Ok::<_, Infallible>(Bytes::from(chunk)), goes_on.then_some(results)))
        });
        Ok(format.response(Body::from_stream(chunks)))
    }

    /// Returns the response of an operation that has one result, or is refused.
    pub(super) fn respond(&self, result: ExecutionResult) -> Response {
        let mut text = self.format.opening();
        match result {
            ExecutionResult::RequestError { errors } => text += &self.format.write(&Part::Refused(&errors)),
            result => {
                let result = NextResult::Own(result);
                text += &self.format.write(&Part::Next { cursor: None, result: &result });
            }
        }
        text += &self.format.write(&Part::Complete);
        self.format.response(Body::from(text))
    }
}

/// One subscription, as its response asks for it.
struct ResultStream {
    format: StreamFormat,
    opening: Option<String>,
    results: BoxStream<'static, ExecutionResult>,
    share: Option<UpdateShare>,
    resume: Option<ResumePoint>,
    trace: Trace,
    heartbeats: Interval,
    /// When the viewer's token ends.
    expires_at: Option<Instant>,
    /// Ready when the gateway stops.
    stopping: BoxFuture<'static, ()>,
    max_bytes: usize,
    _permits: (StreamPermit, Option<[CustomerPermit; 2]>),
}

impl ResultStream {
    /// Waits for the next part of the response; returns whether another one follows.
    async fn next_chunk(&mut self) -> (String, bool) {
        if let Some(opening) = self.opening.take() {
            return (opening, true);
        }
        let expired = async {
            match self.expires_at {
                Some(expires_at) => sleep_until(expires_at).await,
                None => std::future::pending().await,
            }
        };
        let result = tokio::select! {
            biased;
            () = &mut self.stopping => return self.interrupted("the gateway stops: subscribe again"),
            () = expired => {
                let error = ErrorCode::Unauthenticated.error("the token has expired");
                return self.end(&Part::Interrupted(&request_errors(vec![error.into()], &self.trace)));
            }
            result = next_result(&mut self.results, self.share.as_ref()) => result,
            _ = self.heartbeats.tick() => return (self.format.write(&Part::Heartbeat), true),
        };
        match result {
            Some(Ok(result)) => {
                let cursor = self.resume.as_ref().and_then(ResumePoint::take_reached);
                let part = Part::Next { cursor: cursor.as_deref(), result: &result };
                let chunk = self.format.write(&part);
                if chunk.len() <= self.max_bytes { (chunk, true) } else { self.too_large() }
            }
            Some(Err(Interruption::Refused(errors))) => self.refused(&errors),
            Some(Err(Interruption::SourceLost)) => {
                self.interrupted("live updates were interrupted: subscribe again")
            }
            None => self.end(&Part::Complete),
        }
    }

    fn too_large(&self) -> (String, bool) {
        let message = format!("the result is larger than {} bytes: select less", self.max_bytes);
        let error = ErrorCode::PayloadTooLarge.error(message);
        self.refused(&request_errors(vec![error.into()], &self.trace))
    }

    fn refused(&self, errors: &[ServerError]) -> (String, bool) {
        let refused = self.format.write(&Part::Refused(errors));
        (refused + &self.format.write(&Part::Complete), false)
    }

    fn interrupted(&self, message: &str) -> (String, bool) {
        let error = ErrorCode::ServiceUnavailable.error(message).retry_after(OVERLOAD_RETRY_AFTER);
        self.end(&Part::Interrupted(&request_errors(vec![error.into()], &self.trace)))
    }

    fn end(&self, part: &Part<'_>) -> (String, bool) {
        (self.format.write(part), false)
    }
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("results are made of JSON's own types")
}
