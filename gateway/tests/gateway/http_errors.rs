//! Errors: each has a code and a trace id, and none shows what a client must not know.

use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::{TestGateway, answer, code};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

#[tokio::test]
async fn what_a_resolver_did_not_mean_to_show_is_masked() {
    let gateway = TestGateway::start().await;
    for (query, data) in [
        ("{ leaks }", Value::Null),
        ("{ hello leaksNullably }", json!({ "hello": "world", "leaksNullably": null })),
    ] {
        let (status, answer) = gateway.run(query).await;
        assert_eq!(status, 200);
        assert_eq!(answer["data"], data);
        assert_eq!(code(&answer), "INTERNAL_SERVER_ERROR");
        assert_eq!(answer["errors"][0]["message"], "internal error");
        assert!(answer["errors"][0]["path"].is_array());
        assert!(!answer.to_string().contains("hunter2"));
    }
}

#[tokio::test]
async fn a_panic_is_an_internal_error_and_the_gateway_lives_on() {
    let gateway = TestGateway::start().await;
    let (status, answer) = gateway.run("{ panics }").await;
    assert_eq!((status, code(&answer)), (500, "INTERNAL_SERVER_ERROR"));
    assert!(!answer.to_string().contains("hunter2"));
    assert_eq!(gateway.run("{ hello }").await.0, 200);
}

#[tokio::test]
async fn an_error_with_a_code_is_shown_with_its_extensions() {
    let gateway = TestGateway::start().await;
    let traceparent = format!("00-{TRACE}-b7ad6b7169203331-01");
    let request = gateway.post(&json!({ "query": "{ hello away }" })).header("traceparent", traceparent);
    let (_, answer) = answer(request).await;
    assert_eq!(answer["data"], json!({ "hello": "world", "away": null }));
    assert_eq!(
        answer["errors"][0]["extensions"],
        json!({
            "code": "SERVICE_UNAVAILABLE",
            "outcome": "NONE",
            "retryAfterMs": 250,
            "retryable": true,
            "traceId": TRACE,
        })
    );
}

#[tokio::test]
async fn every_kind_of_error_names_a_trace() {
    let gateway = TestGateway::start().await;
    for body in [
        json!({ "query": "{" }),
        json!({ "query": "{ unknown }" }),
        json!({ "query": "{ leaks }" }),
        json!({ "query": "{ panics }" }),
        json!({}),
    ] {
        let (_, answer) = answer(gateway.post(&body)).await;
        let trace_id = answer["errors"][0]["extensions"]["traceId"].as_str();
        let is_id = |id: &str| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(trace_id.is_some_and(is_id), "{body}: {answer}");
    }
}

#[tokio::test]
async fn documents_that_are_wrong_have_a_code_and_a_place() {
    let gateway = TestGateway::start().await;
    for (query, expected) in [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("", "GRAPHQL_PARSE_FAILED"),
        ("{ hello", "GRAPHQL_PARSE_FAILED"),
        ("{ unknown }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ hello { x } }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ echo }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ echo(text: 1) }", "GRAPHQL_VALIDATION_FAILED"),
        ("{ ...A } fragment A on Query { ...A }", "GRAPHQL_VALIDATION_FAILED"),
    ] {
        let (status, answer) = gateway.run(query).await;
        assert_eq!((status, code(&answer)), (400, expected), "{query}");
        assert!(answer["errors"][0]["locations"].is_array(), "{answer}");
        assert!(answer.get("data").is_none());
    }
}

#[tokio::test]
async fn an_argument_of_the_wrong_type_is_the_callers_to_mend() {
    let gateway = TestGateway::start().await;
    let (status, literal) = gateway.run("{ number(value: 3000000000) }").await;
    assert_eq!((status, code(&literal)), (400, "GRAPHQL_VALIDATION_FAILED"));
    for value in [json!("x"), json!(null), json!(1.5), json!({}), json!(3_000_000_000_i64)] {
        let body = json!({
            "query": "query($v: Int!) { number(value: $v) }",
            "variables": { "v": value },
        });
        let (status, answer) = answer(gateway.post(&body)).await;
        let expected = (400, "GRAPHQL_VALIDATION_FAILED");
        assert_eq!((status, code(&answer)), expected, "{value}: {answer}");
    }
}

#[tokio::test]
async fn a_variable_that_is_required_and_left_out_stops_the_whole_operation() {
    let gateway = TestGateway::start().await;
    let query = "query($v: Int!) { hello number(value: $v) }";
    for variables in [json!({}), json!({ "w": 1 }), json!(null)] {
        let (status, answer) = answer(gateway.post(&json!({ "query": query, "variables": variables }))).await;
        assert_eq!((status, code(&answer)), (400, "GRAPHQL_VALIDATION_FAILED"), "{answer}");
        assert_eq!(answer["errors"][0]["locations"], json!([{ "line": 1, "column": 7 }]));
        assert!(answer.get("data").is_none());
    }
    let (status, answer) = gateway.run("query($v: Int! = 3) { number(value: $v) }").await;
    assert_eq!((status, answer), (200, json!({ "data": { "number": 3 } })));
}

#[tokio::test]
async fn a_late_mutation_has_an_unknown_outcome_and_a_late_query_none() {
    let gateway = TestGateway::with_limits(|limits| limits.request_timeout = Duration::from_millis(50)).await;
    let (status, query) = gateway.run("{ never }").await;
    assert_eq!((status, code(&query)), (504, "DEADLINE_EXCEEDED"));
    assert_eq!(query["errors"][0]["extensions"]["outcome"], "NONE");
    assert_eq!(query["errors"][0]["extensions"]["retryable"], true);
    let (status, mutation) = gateway.run("mutation { never }").await;
    assert_eq!((status, code(&mutation)), (504, "DEADLINE_EXCEEDED"));
    assert_eq!(mutation["errors"][0]["extensions"]["outcome"], "UNKNOWN");
    assert_eq!(mutation["errors"][0]["extensions"].get("retryable"), None);
}
