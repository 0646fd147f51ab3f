//! What protects a gateway in the open: headers, requests of foreign pages, ids that find a request in the logs, and the
//! settings of `AUTH_MODE=jwks`, held against the checks of graphql-cop
//! (<https://github.com/dolevf/graphql-cop>).

use gateway::query::DocumentSettings;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::kit::{Options, TestGateway, WAIT_LIMIT, answer, code, token};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// As with `AUTH_MODE=jwks`.
async fn in_the_open() -> TestGateway {
    let documents = DocumentSettings { introspection: false, ..DocumentSettings::default() };
    TestGateway::with(Options { documents, playground: None, ..Options::default() }).await
}

fn get(gateway: &TestGateway, query: &str) -> RequestBuilder {
    gateway.http.get(gateway.url("/graphql")).query(&[("query", query)])
}

#[tokio::test]
async fn a_get_that_a_foreign_page_can_send_unasked_is_refused() {
    let gateway = TestGateway::start().await;
    for (name, value) in [
        ("accept", "*/*"),
        ("content-type", "text/plain"),
        ("sec-fetch-site", "cross-site"),
        ("origin", "https://evil.example"),
    ] {
        let (status, answer) = answer(get(&gateway, "{ hello }").header(name, value)).await;
        assert_eq!((status, code(&answer)), (400, "BAD_USER_INPUT"), "{name}");
        assert!(answer["errors"][0]["message"].as_str().unwrap().contains("graphql-require-preflight"));
    }
    for (name, value) in [
        ("content-type", "application/json"),
        ("graphql-require-preflight", "1"),
        ("apollo-require-preflight", "1"),
        ("authorization", &format!("Bearer {}", token("CUST01"))),
        ("sec-fetch-site", "same-origin"),
    ] {
        assert_eq!(answer(get(&gateway, "{ hello }").header(name, value)).await.0, 200, "{name}");
    }
}

#[tokio::test]
async fn every_response_is_marked_for_browsers_and_has_an_id() {
    let gateway = TestGateway::start().await;
    for (method, path) in [
        (Method::POST, "/graphql"),
        (Method::GET, "/graphql"),
        (Method::PUT, "/graphql"),
        (Method::GET, "/"),
        (Method::GET, "/livez"),
        (Method::GET, "/nothing"),
    ] {
        let request = || gateway.http.request(method.clone(), gateway.url(path));
        let response = request().send().await.unwrap();
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("x-frame-options"), "DENY", "{path}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        assert!(header("content-security-policy").contains("default-src 'none'"), "{path}");
        assert_eq!(header("x-request-id").len(), 32, "{path}");
        let known = request().header("x-request-id", "client-4711").send().await.unwrap();
        assert_eq!(known.headers()["x-request-id"], "client-4711", "{path}");
        let bad = request().header("x-request-id", "a b").send().await.unwrap();
        assert_eq!(bad.headers()["x-request-id"].len(), 32, "{path}");
    }
}

#[tokio::test]
async fn an_answer_names_the_trace_that_its_errors_name() {
    let gateway = TestGateway::start().await;
    let response = gateway.post(&json!({ "query": "{ leaks }" })).send().await.unwrap();
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let trace = response.headers()["traceresponse"].to_str().unwrap().to_owned();
    let parts: Vec<_> = trace.split('-').collect();
    assert_eq!((parts[0], parts[1], parts[2].len(), parts[3].len()), ("00", id.as_str(), 16, 2));
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["errors"][0]["extensions"]["traceId"], id.as_str());

    let traceparent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let request = gateway.post(&json!({ "query": "{ hello }" })).header("traceparent", traceparent);
    let response = request.send().await.unwrap();
    assert!(response.headers()["traceresponse"].to_str().unwrap().starts_with(&format!("00-{TRACE}-")));
    let malformed = gateway.post(&json!({ "query": "{ hello }" })).header("traceparent", "00-0-0-00");
    assert_eq!(malformed.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn text_that_is_not_unicode_is_named_as_such() {
    let gateway = TestGateway::start().await;
    for (body, message) in [
        (r#"{"query":"{ hello } # \ud800"}"#, "query must be a string of Unicode characters"),
        (r#"{"query":"{hello}","operationName":"\udfff"}"#, "operationName must be a string or null"),
        (r#"{"query":"{hello}","\ud800":1}"#, "the request's fields must have Unicode names"),
    ] {
        let request = gateway.http.post(gateway.url("/graphql")).header("content-type", "application/json");
        let (status, answer) = answer(request.body(body)).await;
        assert_eq!((status, code(&answer)), (400, "BAD_USER_INPUT"), "{body}");
        assert!(answer["errors"][0]["message"].as_str().unwrap().starts_with(message), "{answer}");
    }
    let query = r#"{"query":"query($t: String!) { echo(text: $t) }","variables":{"t":"a\ud800b"}}"#;
    let request = gateway.http.post(gateway.url("/graphql")).header("content-type", "application/json");
    let (status, answer) = answer(request.body(query)).await;
    assert_eq!((status, code(&answer)), (200, "GRAPHQL_VALIDATION_FAILED"), "{answer}");
}

/// What graphql-cop sends, and what it takes for a finding.
#[tokio::test]
async fn graphql_cop_finds_nothing_in_the_open() {
    let gateway = in_the_open().await;
    let post = async |query: &str| answer(gateway.post(&json!({ "query": query }))).await.1;
    let refuses = |name: &str, answer: &Value| assert!(answer.get("data").is_none(), "{name}: {answer}");

    let aliases: String = (0..=100).map(|n| format!("alias{n}:__typename ")).collect();
    refuses("alias overloading", &post(&format!("query cop {{ {aliases} }}")).await);
    let batch = json!(vec![json!({ "query": "query cop { __typename }" }); 11]);
    refuses("array-based query batching", &answer(gateway.post(&batch)).await.1);
    let overload = post(&format!("query cop {{ __typename {} }}", "@aa".repeat(10))).await;
    assert!(overload["errors"].as_array().unwrap().len() < 10, "directive overloading: {overload}");
    let circular = "query cop { __schema { types { fields { type { fields { type { fields { type { fields {
        type { name } } } } } } } } } } }";
    refuses("circular introspection", &post(circular).await);
    refuses("field duplication", &post(&format!("query cop {{ {} }}", "__typename ".repeat(500))).await);
    let suggestion = post("query cop { __shema }").await.to_string();
    assert!(!suggestion.contains("Did you mean"), "field suggestions: {suggestion}");
    refuses("GET queries", &answer(get(&gateway, "query cop {__typename}")).await.1);
    let (status, mutation) = answer(get(&gateway, "mutation cop {__typename}")).await;
    assert!(status >= 400, "GET mutations");
    refuses("GET mutations", &mutation);
    let form = gateway.http.post(gateway.url("/graphql")).body("query=query+cop+%7B__typename%7D");
    let form = form.header("content-type", "application/x-www-form-urlencoded");
    refuses("URL-encoded POST", &answer(form).await.1);
    let schema = post("query cop { __schema { types { name fields { name } } } }").await;
    refuses("introspection", &schema);
    let traced = post("query cop { __typename }").await;
    assert_eq!(traced, json!({ "data": { "__typename": "Query" } }), "tracing");
    let unhandled = post("qwerty cop { abc }").await.to_string();
    assert!(!unhandled.contains("exception") && !unhandled.contains("stacktrace"), "{unhandled}");
    for path in ["/", "/graphiql", "/playground", "/console", "/graphql"] {
        let page = gateway.http.get(gateway.url(path)).header("accept", "text/html").send().await.unwrap();
        assert!(page.status().as_u16() >= 400, "{path}");
        let page = page.text().await.unwrap().to_ascii_lowercase();
        assert!(!page.contains("graphiql") && !page.contains("playground"), "{path}: {page}");
    }
}

#[tokio::test]
async fn every_refusal_of_the_public_port_has_a_body_of_graphql_errors() {
    let gateway = TestGateway::start().await;
    let json = "content-type: application/json\r\n";
    let post = |headers: &str, body: &str| {
        format!("POST /graphql HTTP/1.1\r\nhost: x\r\n{headers}content-length: {}\r\n\r\n{body}", body.len())
    };
    let hello = r#"{"query":"{hello}"}"#;
    for (status, request) in [
        (400, post(json, "{")),
        (400, "GET /graphql HTTP/1.1\r\n\r\n".to_owned()),
        (401, post(&format!("{json}authorization: Bearer x\r\n"), hello)),
        (404, "GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n".to_owned()),
        (405, "DELETE /graphql HTTP/1.1\r\nhost: x\r\n\r\n".to_owned()),
        (405, "POST /livez HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n".to_owned()),
        (406, post(&format!("{json}accept: text/html\r\n"), hello)),
        (414, format!("GET /graphql?query={} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(40_000))),
        (415, post("content-type: text/plain\r\n", hello)),
        (415, post(&format!("{json}content-encoding: deflate\r\n"), hello)),
        (
            426,
            "GET /graphql HTTP/1.1\r\nhost: x\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\
             sec-websocket-version: 8\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
                .to_owned(),
        ),
        (431, post(&format!("{json}{}", "x-field: 1\r\n".repeat(90)), hello)),
        (431, post(&format!("{json}x-field: {}\r\n", "1".repeat(70_000)), hello)),
        (500, post(json, r#"{"query":"{panics}"}"#)),
    ] {
        let answer = raw(&gateway, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{request}: {answer}"));
        assert!(body["errors"][0]["extensions"]["code"].is_string(), "{request}: {body}");
    }
}

/// Sends one request as it stands, but for asking that the connection be closed after it; returns the response.
async fn raw(gateway: &TestGateway, request: &str) -> String {
    let mut connection = TcpStream::connect(gateway.address).await.unwrap();
    let closing = match request.contains("connection:") {
        true => request.to_owned(),
        false => request.replacen("\r\n", "\r\nconnection: close\r\n", 1),
    };
    connection.write_all(closing.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(WAIT_LIMIT, connection.read_to_end(&mut answer)).await;
    read.expect("an answer comes").unwrap();
    String::from_utf8(answer).unwrap()
}
