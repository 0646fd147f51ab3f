//! Operations over HTTP whose results are streamed: server-sent events and multipart responses.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use gateway::auth::{Scopes, mint};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use testkit::{WAIT_LIMIT, eventually};

use crate::kit::live_api::{LiveApi, live_api};
use crate::kit::{SECRET, TestGateway, token, toy::toy};

const EVENTS: &str = "text/event-stream";
const MULTIPART: &str = "multipart/mixed;boundary=\"graphql\";subscriptionSpec=1.0,application/json";

/// A response that is read piece by piece.
struct Streamed {
    response: Response,
    text: String,
}

impl Streamed {
    async fn open(request: RequestBuilder) -> Self {
        let response = request.timeout(2 * WAIT_LIMIT).send().await.unwrap();
        assert_eq!(response.status(), 200);
        Self { response, text: String::new() }
    }

    /// What comes before `end`; none once the response has ended.
    async fn until(&mut self, end: &str) -> Option<String> {
        loop {
            if let Some((piece, rest)) = self.text.split_once(end) {
                let piece = piece.to_owned();
                self.text = rest.to_owned();
                return Some(piece);
            }
            let chunk = tokio::time::timeout(WAIT_LIMIT, self.response.chunk()).await;
            let chunk = chunk.expect("something comes in time").unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next event that is neither a heartbeat nor an opening: id, name and data.
    async fn event(&mut self) -> Option<(Option<String>, String, Value)> {
        loop {
            let event = self.until("\n\n").await?;
            let field = |name: &str| {
                let mut lines = event.lines().filter_map(|line| line.split_once(':'));
                lines.find(|(field, _)| *field == name).map(|(_, value)| value.trim().to_owned())
            };
            if let (Some(name), Some(data)) = (field("event"), field("data")) {
                let data = if data.is_empty() { Value::Null } else { serde_json::from_str(&data).unwrap() };
                return Some((field("id"), name, data));
            }
        }
    }

    /// The next part's JSON.
    async fn part(&mut self) -> Option<Value> {
        let part = self.until("\r\n--graphql").await?;
        let Some((head, body)) = part.split_once("\r\n\r\n") else { return Some(Value::Null) };
        assert_eq!(head.trim(), "content-type: application/json");
        Some(serde_json::from_str(body).unwrap())
    }
}

fn post(gateway: &TestGateway, accept: &str, query: &str) -> RequestBuilder {
    gateway.http.post(gateway.url("/graphql")).header("accept", accept).json(&json!({ "query": query }))
}

fn next(data: Value) -> Option<(Option<String>, String, Value)> {
    Some((None, "next".into(), data))
}

fn complete() -> Option<(Option<String>, String, Value)> {
    Some((None, "complete".into(), Value::Null))
}

async fn running(gateway: &TestGateway, subscriptions: usize) {
    eventually(&format!("{subscriptions} subscriptions run"), async || {
        gateway.inside.running.load(SeqCst) == subscriptions
    })
    .await;
}

#[tokio::test]
async fn an_event_stream_is_next_events_and_complete() {
    let gateway = TestGateway::start().await;
    let mut stream = Streamed::open(post(&gateway, EVENTS, "subscription { count(to: 3) }")).await;
    let headers = stream.response.headers();
    assert_eq!(headers["content-type"], "text/event-stream; charset=utf-8");
    assert_eq!(headers["cache-control"], "no-store");
    for number in 1..=3 {
        assert_eq!(stream.event().await, next(json!({ "data": { "count": number } })));
    }
    assert_eq!(stream.event().await, complete());
    assert_eq!(stream.event().await, None);

    for (query, result) in [
        ("{ hello }", json!({ "data": { "hello": "world" } })),
        ("mutation { bump }", json!({ "data": { "bump": 1 } })),
    ] {
        let mut stream = Streamed::open(post(&gateway, EVENTS, query)).await;
        assert_eq!(stream.event().await, next(result));
        assert_eq!(stream.event().await, complete());
        assert_eq!(stream.event().await, None);
    }
}

#[tokio::test]
async fn what_is_refused_is_a_next_event_and_complete() {
    let gateway = TestGateway::start().await;
    for (query, code) in [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("subscription { unknown }", "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { refused }", "CURSOR_EXPIRED"),
    ] {
        let mut stream = Streamed::open(post(&gateway, EVENTS, query)).await;
        let (_, name, result) = stream.event().await.unwrap();
        assert_eq!(
            (name.as_str(), &result["errors"][0]["extensions"]["code"]),
            ("next", &json!(code)),
            "{query}"
        );
        assert_eq!(stream.event().await, complete(), "{query}");
    }
}

#[tokio::test]
async fn an_event_stream_can_be_opened_by_get_but_not_for_mutations() {
    let gateway = TestGateway::start().await;
    let get = |query: &str| gateway.get("/graphql").header("accept", EVENTS).query(&[("query", query)]);
    let mut stream = Streamed::open(get("subscription { count(to: 1) }")).await;
    assert_eq!(stream.event().await, next(json!({ "data": { "count": 1 } })));
    let refused = get("mutation { bump }").send().await.unwrap();
    assert_eq!((refused.status().as_u16(), refused.headers()["allow"].to_str().unwrap()), (405, "POST"));
    let malformed = gateway.get("/graphql").header("accept", EVENTS).send().await.unwrap();
    assert_eq!(malformed.status(), 400);
}

#[tokio::test]
async fn streams_are_chosen_by_accept_and_only_for_those_that_name_them() {
    let gateway = TestGateway::start().await;
    let subscription = "subscription { count(to: 1) }";
    for (accept, query, content_type) in [
        ("text/event-stream, application/json", "{ hello }", "application/json; charset=utf-8"),
        (MULTIPART, "{ hello }", "application/json; charset=utf-8"),
        (MULTIPART, subscription, "multipart/mixed;boundary=\"graphql\";subscriptionSpec=1.0"),
        (
            "text/event-stream;q=0.5, multipart/mixed;subscriptionSpec=\"1.0\"",
            subscription,
            "multipart/mixed;boundary=\"graphql\";subscriptionSpec=1.0",
        ),
        ("application/json, text/event-stream;q=0.5", subscription, "text/event-stream; charset=utf-8"),
    ] {
        let response = post(&gateway, accept, query).send().await.unwrap();
        assert_eq!(response.status(), 200, "{accept}");
        assert_eq!(response.headers()["content-type"], content_type, "{accept} {query}");
    }
    for (accept, status) in [("*/*", 400), ("text/event-stream;q=0, */*", 400), ("multipart/mixed", 406)] {
        let response = post(&gateway, accept, subscription).send().await.unwrap();
        assert_eq!(response.status(), status, "{accept}");
    }
}

#[tokio::test]
async fn a_multipart_response_has_payloads_heartbeats_and_a_closing_boundary() {
    let gateway = TestGateway::with_limits(|limits| limits.ping_interval = Duration::from_millis(50)).await;
    let mut stream = Streamed::open(post(&gateway, MULTIPART, "subscription { ticks { value } }")).await;
    assert_eq!(stream.part().await, Some(Value::Null), "what comes before the first boundary");
    assert_eq!(stream.part().await, Some(json!({})));
    assert_eq!(stream.part().await, Some(json!({})));
    running(&gateway, 1).await;
    gateway.inside.ticks.send(7).unwrap();
    let payload = loop {
        let part = stream.part().await.unwrap();
        if part != json!({}) {
            break part;
        }
    };
    assert_eq!(payload, json!({ "payload": { "data": { "ticks": { "value": 7 } } } }));

    let mut stream = Streamed::open(post(&gateway, MULTIPART, "subscription { count(to: 2) }")).await;
    stream.part().await;
    for number in 1..=2 {
        assert_eq!(stream.part().await, Some(json!({ "payload": { "data": { "count": number } } })));
    }
    assert_eq!(stream.until("--\r\n").await.as_deref(), Some(""));
    assert_eq!(stream.until("\r\n").await, None);

    // A fault that passes is the transport's, and comes without a payload.
    let mut stream = Streamed::open(post(&gateway, MULTIPART, "subscription { interrupted(to: 1) }")).await;
    stream.part().await;
    assert_eq!(stream.part().await, Some(json!({ "payload": { "data": { "interrupted": 1 } } })));
    let last = stream.part().await.unwrap();
    assert_eq!(last["payload"], Value::Null, "{last}");
    assert_eq!(last["errors"][0]["extensions"]["retryable"], true, "{last}");
    assert_eq!(stream.until("--\r\n").await.as_deref(), Some(""));
    let refused = post(&gateway, MULTIPART, "subscription { unknown }").send().await.unwrap();
    assert_eq!(refused.headers()["content-type"], "application/json; charset=utf-8");
}

#[tokio::test]
async fn an_event_stream_that_is_interrupted_ends_without_complete() {
    let gateway = TestGateway::start().await;
    let mut stream = Streamed::open(post(&gateway, EVENTS, "subscription { interrupted(to: 1) }")).await;
    assert_eq!(stream.event().await, next(json!({ "data": { "interrupted": 1 } })));
    assert_eq!(stream.event().await, None);
    // So does one whose token ends, and one whose gateway stops.
    let short = mint(SECRET, "CUST01", Scopes::default(), Duration::from_secs(2)).unwrap();
    let ticks = || post(&gateway, EVENTS, "subscription { ticks { value } }");
    let mut expiring = Streamed::open(ticks().bearer_auth(short)).await;
    let mut lasting = Streamed::open(ticks().bearer_auth(token("CUST01"))).await;
    assert_eq!(expiring.event().await, None);
    running(&gateway, 1).await;
    gateway.lifecycle.closing.cancel();
    assert_eq!(lasting.event().await, None);
    tokio::time::timeout(WAIT_LIMIT, gateway.served).await.expect("the server ends").unwrap();
}

#[tokio::test]
async fn heartbeats_keep_an_idle_event_stream_alive_and_a_lost_client_ends_it() {
    let gateway = TestGateway::with_limits(|limits| limits.ping_interval = Duration::from_millis(20)).await;
    let mut stream = Streamed::open(post(&gateway, EVENTS, "subscription { ticks { value } }")).await;
    assert!(stream.until("\n").await.unwrap().starts_with("retry: "));
    for _ in 0..4 {
        assert_eq!(stream.until("\n\n").await.as_deref(), Some(":"));
    }
    running(&gateway, 1).await;
    drop(stream);
    running(&gateway, 0).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_its_stream() {
    let gateway = TestGateway::start().await;
    let stream = Streamed::open(post(&gateway, EVENTS, "subscription { flood }")).await;
    let (mut last, mut quiet) = (0, 0);
    let pulled = eventually("the stream stops", async || {
        let pulled = gateway.inside.pulled.load(SeqCst);
        quiet = if pulled > 0 && pulled == last { quiet + 1 } else { 0 };
        last = pulled;
        (quiet >= 20).then_some(pulled)
    })
    .await;
    assert!(pulled < 1_000, "{pulled} items were pulled");
    drop(stream);
    running(&gateway, 0).await;
}

async fn ticket(gateway: &TestGateway, token: &str) -> String {
    let request = gateway.http.post(gateway.url("/graphql/tickets")).bearer_auth(token);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 201);
    let issued: Value = response.json().await.unwrap();
    assert_eq!(issued["expiresIn"], 60);
    issued["url"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_ticket_opens_one_event_stream_and_its_cookie_the_next_ones_of_the_same_browser() {
    let gateway = TestGateway::start().await;
    let url = ticket(&gateway, &token("CUST01")).await;
    let open = || {
        let request = gateway.http.get(gateway.url(&url)).header("accept", EVENTS);
        request.query(&[("query", "{ whoami }")])
    };
    let mut stream = Streamed::open(open()).await;
    let cookie = stream.response.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert_eq!(stream.event().await, next(json!({ "data": { "whoami": "CUST01" } })));
    for attribute in [&format!("Path={url}"), "HttpOnly", "SameSite=Strict"] {
        assert!(cookie.split("; ").any(|part| part == attribute), "{cookie}");
    }
    assert_eq!(open().send().await.unwrap().status(), 401);
    let (cookie, _) = cookie.split_once(';').unwrap();
    let mut again = Streamed::open(open().header("cookie", cookie)).await;
    assert_eq!(again.event().await, next(json!({ "data": { "whoami": "CUST01" } })));
    // The cookie is for streams alone.
    let elsewhere = post(&gateway, "application/json", "{ whoami }").header("cookie", cookie);
    let (_, answer) = crate::kit::answer(elsewhere).await;
    assert_eq!(answer["data"]["whoami"], Value::Null);
    let made_up = gateway.http.get(gateway.url("/graphql/stream/made-up")).header("accept", EVENTS);
    assert_eq!(made_up.query(&[("query", "{ hello }")]).send().await.unwrap().status(), 401);
    for request in [
        gateway.http.post(gateway.url("/graphql/tickets")),
        gateway.http.post(gateway.url("/graphql/tickets")).bearer_auth("x.y.z"),
    ] {
        assert_eq!(request.send().await.unwrap().status(), 401);
    }
}

/// Changes the order until the stream has an event, which is returned.
async fn first_update(live: &LiveApi, order: schema::ids::OrderId, stream: &mut Streamed) -> (String, i64) {
    loop {
        let position = live.touch(order);
        live.publish(position).await;
        let received = tokio::time::timeout(Duration::from_millis(100), stream.event()).await;
        if let Ok(event) = received {
            return update(event);
        }
    }
}

/// An update's id, which is its cursor, and version.
fn update(event: Option<(Option<String>, String, Value)>) -> (String, i64) {
    let (id, _, result) = event.expect("the stream goes on");
    let update = &result["data"]["orderUpdated"];
    assert_eq!(id.as_deref(), update["cursor"].as_str(), "{result}");
    (id.unwrap(), update["version"].as_i64().unwrap())
}

#[tokio::test]
async fn an_update_has_its_cursor_as_id_and_last_event_id_resumes_after_it() {
    let live = live_api().await;
    let gateway = TestGateway::serving(live.test.api.clone(), toy().1, Default::default()).await;
    let order = live.test.placed("CUST01", "PROD01").id;
    live.publish_after(0).await;
    let query = "subscription { orderUpdated { cursor version } }";
    let open = || post(&gateway, EVENTS, query).bearer_auth(token("CUST01"));
    // Two that ask for the same share what they get.
    let mut stream = Streamed::open(open()).await;
    let mut twin = Streamed::open(open()).await;
    let (_, first) = first_update(&live, order, &mut stream).await;
    let position = live.touch(order);
    live.publish(position).await;
    let (cursor, version) = update(stream.event().await);
    assert_eq!(version, first + 1);
    loop {
        if update(twin.event().await) == (cursor.clone(), version) {
            break;
        }
    }
    drop((stream, twin));

    for _ in 0..3 {
        let position = live.touch(order);
        live.publish(position).await;
    }
    let mut resumed = Streamed::open(open().header("last-event-id", &cursor)).await;
    for missed in version + 1..=version + 3 {
        assert_eq!(update(resumed.event().await).1, missed);
    }
    let mut refused = Streamed::open(open().header("last-event-id", "no cursor")).await;
    let (_, _, result) = refused.event().await.unwrap();
    assert_eq!(result["errors"][0]["extensions"]["code"], "CURSOR_INVALID");
}

#[tokio::test]
async fn streams_are_bounded_in_all_and_for_each_customer() {
    let gateway = TestGateway::with_limits(|limits| {
        limits.max_sockets = 2;
        limits.max_sockets_per_customer = 1;
    })
    .await;
    let ticks = |customer: &str| {
        post(&gateway, EVENTS, "subscription { ticks { value } }").bearer_auth(token(customer))
    };
    let first = Streamed::open(ticks("CUST01")).await;
    let refused = ticks("CUST01").send().await.unwrap();
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.headers()["retry-after"], "1");
    let refused: Value = refused.json().await.unwrap();
    assert_eq!(refused["errors"][0]["extensions"]["code"], "RATE_LIMITED");
    let second = Streamed::open(ticks("CUST02")).await;
    let refused = ticks("CUST03").send().await.unwrap();
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()), (503, "1"));
    drop(first);
    eventually("there is room again", async || ticks("CUST01").send().await.unwrap().status() == 200).await;
    drop(second);
}
