//! Requests over HTTP: what is accepted, and what each refusal says.

use std::time::Duration;

use futures::stream;
use reqwest::{Body, Method};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    kit::toy::queries_only,
    kit::{TestGateway, WAIT_LIMIT, answer, code, token},
};

#[tokio::test]
async fn a_query_is_answered_by_post_and_by_get() {
    let gateway = TestGateway::start().await;
    assert_eq!(gateway.run("{ hello }").await, (200, json!({ "data": { "hello": "world" } })));
    let get = gateway.get("/graphql").query(&[
        ("query", "query A { hello } query B($t: String!) { echo(text: $t) }"),
        ("operationName", "B"),
        ("variables", r#"{"t":"ä"}"#),
        ("extensions", "{}"),
    ]);
    assert_eq!(answer(get).await, (200, json!({ "data": { "echo": "ä" } })));
    for nothing in ["null", " null ", "", "{}"] {
        let get = gateway.get("/graphql");
        let get = get.query(&[("query", "{ hello }"), ("variables", nothing), ("extensions", nothing)]);
        assert_eq!(answer(get).await, (200, json!({ "data": { "hello": "world" } })), "{nothing:?}");
    }
    for (name, value) in [("variables", "1"), ("variables", "{"), ("extensions", "[]"), ("extensions", "x")] {
        let get = gateway.get("/graphql").query(&[("query", "{ hello }"), (name, value)]);
        let (status, answer) = answer(get).await;
        assert_eq!((status, code(&answer)), (400, "BAD_USER_INPUT"), "{name} {value}");
    }
}

#[tokio::test]
async fn a_document_that_a_get_only_names_is_asked_for() {
    let gateway = TestGateway::start().await;
    let extensions = r#"{"persistedQuery":{"version":1,"sha256Hash":"abc"}}"#;
    for (accept, expected) in [("application/json", 200), ("application/graphql-response+json", 400)] {
        let get = gateway.get("/graphql").header("accept", accept);
        let (status, answer) = answer(get.query(&[("extensions", extensions)])).await;
        assert_eq!((status, code(&answer)), (expected, "PERSISTED_QUERY_NOT_FOUND"));
    }
}

#[tokio::test]
async fn the_media_type_follows_the_accept_header() {
    let gateway = TestGateway::start().await;
    for (accept, content_type, status) in [
        ("application/json", "application/json; charset=utf-8", 200),
        ("application/graphql-response+json", "application/graphql-response+json; charset=utf-8", 400),
    ] {
        let response = gateway
            .http
            .post(gateway.url("/graphql"))
            .header("accept", accept)
            .json(&json!({ "query": "{ unknown }" }))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["content-type"], content_type);
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer.get("data"), None);
        assert_eq!(code(&answer), "GRAPHQL_VALIDATION_FAILED");
    }
    let get = gateway.http.get(gateway.url("/graphql?query={hello}"));
    let response = get.header("accept", "text/html").send().await.unwrap();
    assert_eq!(response.status(), 406);
}

#[tokio::test]
async fn a_mutation_needs_post_and_a_subscription_a_socket() {
    let gateway = TestGateway::start().await;
    let response = gateway.get("/graphql").query(&[("query", "mutation { bump }")]).send().await.unwrap();
    assert_eq!(response.status(), 405);
    assert_eq!(response.headers()["allow"], "POST");

    let (status, answer) = gateway.run("subscription { ticks { value } }").await;
    assert_eq!((status, code(&answer)), (400, "BAD_USER_INPUT"));
}

#[tokio::test]
async fn other_methods_are_told_what_is_allowed() {
    let gateway = TestGateway::start().await;
    for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        let response = gateway.http.request(method.clone(), gateway.url("/graphql")).send().await.unwrap();
        assert_eq!(response.status(), 405, "{method}");
        assert_eq!(response.headers()["allow"], "GET, POST");
    }
}

#[tokio::test]
async fn what_a_foreign_pages_form_can_post_is_refused() {
    let gateway = TestGateway::start().await;
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=latin1",
        "",
    ] {
        let request = gateway
            .http
            .post(gateway.url("/graphql"))
            .header("content-type", content_type)
            .body(r#"{"query":"mutation { bump }"}"#);
        let (status, answer) = answer(request).await;
        assert_eq!((status, code(&answer)), (415, "BAD_USER_INPUT"), "{content_type}");
    }
}

#[tokio::test]
async fn a_body_that_is_no_request_is_refused_with_what_is_wrong() {
    let gateway = TestGateway::start().await;
    for (body, message) in [
        ("", "the body is not JSON"),
        ("{", "the body is not JSON"),
        ("\u{feff}{}", "the body is not JSON"),
        ("3", "the body must be a JSON object"),
        ("[]", "batches are not supported: send each operation by itself"),
        (r#"[{"query":"{hello}"}]"#, "batches are not supported: send each operation by itself"),
        ("{}", "query is missing"),
        (r#"{"query":null}"#, "query must be a string"),
        (r#"{"query":"{hello}","variables":[]}"#, "variables must be an object or null"),
        (r#"{"query":"{hello}","operationName":1}"#, "operationName must be a string or null"),
    ] {
        let request =
            gateway.http.post(gateway.url("/graphql")).header("content-type", "application/json").body(body);
        let (status, answer) = answer(request).await;
        assert_eq!((status, code(&answer)), (400, "BAD_USER_INPUT"), "{body}");
        assert_eq!(answer["errors"][0]["message"], message, "{body}");
        assert!(answer.get("data").is_none());
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_the_client_hears_of_it() {
    let gateway = TestGateway::start().await;
    let ten_megabytes = vec![b' '; 10 * 1024 * 1024];
    let chunks: Vec<Result<_, std::io::Error>> =
        ten_megabytes.chunks(65536).map(|chunk| Ok(chunk.to_vec())).collect();
    for body in [Body::from(ten_megabytes.clone()), Body::wrap_stream(stream::iter(chunks))] {
        let request =
            gateway.http.post(gateway.url("/graphql")).header("content-type", "application/json").body(body);
        let (status, answer) = answer(request).await;
        assert_eq!((status, code(&answer)), (413, "PAYLOAD_TOO_LARGE"));
    }
}

#[tokio::test]
async fn a_bad_token_is_refused_whatever_is_asked() {
    let gateway = TestGateway::start().await;
    let good = format!("Bearer {}", token("CUST01"));
    let whoami = json!({ "query": "{ whoami }" });
    let (_, signed_in) = answer(gateway.post(&whoami).header("authorization", &good)).await;
    assert_eq!(signed_in["data"]["whoami"], "CUST01");
    let (_, anonymous) = answer(gateway.post(&whoami)).await;
    assert_eq!(anonymous["data"]["whoami"], Value::Null);

    for bad in ["Bearer x.y.z", "Bearer ", "Basic dTpw", "", &format!("{good}x")] {
        let request = gateway.post(&json!({ "query": "{ hello }" })).header("authorization", bad);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 401, "{bad}");
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        let answer: Value = response.json().await.unwrap();
        assert_eq!(code(&answer), "UNAUTHENTICATED");
    }
}

#[tokio::test]
async fn operations_are_chosen_by_name() {
    let gateway = TestGateway::start().await;
    let two = "query A { hello } query B { hello }";
    for body in [
        json!({ "query": two }),
        json!({ "query": two, "operationName": "C" }),
        json!({ "query": "{ hello }", "operationName": "A" }),
    ] {
        let (status, answer) = answer(gateway.post(&body)).await;
        assert_eq!((status, code(&answer)), (400, "OPERATION_RESOLUTION_FAILURE"), "{body}");
    }
}

#[tokio::test]
async fn a_schema_of_queries_alone_is_served() {
    let (_, inside) = crate::kit::toy::toy();
    let gateway = TestGateway::serving(queries_only(), inside, Default::default()).await;
    assert_eq!(gateway.run("{ hello }").await.0, 200);
    let (status, answer) = gateway.run("mutation { bump }").await;
    assert_eq!((status, code(&answer)), (400, "GRAPHQL_VALIDATION_FAILED"));
}

#[tokio::test]
async fn the_same_document_is_answered_each_time_with_its_own_variables() {
    let gateway = TestGateway::start().await;
    for text in ["one", "two", "three"] {
        let body = json!({
            "query": "query($t: String!) { echo(text: $t) }",
            "variables": { "t": text },
        });
        assert_eq!(answer(gateway.post(&body)).await.1["data"]["echo"], text);
    }
}

#[tokio::test]
async fn a_nullable_variable_may_be_left_out_where_a_page_is_weighed_by_it() {
    let gateway = TestGateway::start().await;
    let query = "query($first: Int, $default: Int = 7) { page(first: $first) other: page(first: $default) }";
    for (variables, first) in
        [(json!({}), Value::Null), (json!({ "first": null }), Value::Null), (json!({ "first": 3 }), json!(3))]
    {
        let (status, answer) = answer(gateway.post(&json!({ "query": query, "variables": variables }))).await;
        assert_eq!((status, &answer["data"]), (200, &json!({ "page": first, "other": 7 })), "{variables}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for_for_ever() {
    let gateway = TestGateway::with_limits(|limits| limits.body_timeout = Duration::from_millis(50)).await;
    let mut connection = TcpStream::connect(gateway.address).await.unwrap();
    let head = "POST /graphql HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                content-type: application/json\r\ncontent-length: 10\r\n\r\n{";
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(WAIT_LIMIT, connection.read_to_string(&mut answer)).await;
    read.expect("an answer comes").unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("DEADLINE_EXCEEDED"), "{answer}");
}
