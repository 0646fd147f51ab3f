//! Requests to a running gateway that are mostly wrong: documents by seed, changed at random. Whatever comes, the answer is
//! GraphQL JSON, its errors have codes and traces, and none of them is the gateway's own.

use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use testkit::{fuzz_cases, mutations};

use super::generator::{Generator, Known, Sample};
use super::sdl::Schema;
use super::{CONCURRENT_REQUESTS, stocked};
use crate::kit::{Options, TestGateway, token, toy::toy};

const CASES: u64 = 3_000;
/// Documents that are changed.
const SAMPLES: u64 = 500;

#[tokio::test(flavor = "multi_thread")]
async fn no_request_whatever_it_holds_is_answered_with_an_internal_error() {
    let schema = Schema::read(gateway::graphql::sdl());
    let known = Known { order_ids: vec!["x".into()], cursors: vec!["eHg".into()] };
    let samples: Vec<String> = (1..=SAMPLES)
        .map(|seed| {
            let Sample { query, operation_name, variables } = Generator::new(&schema, &known, seed).sample();
            let (query, name) = (json!(query), json!(operation_name));
            format!(r#"{{"query":{query},"operationName":{name},"variables":{variables}}}"#)
        })
        .collect();
    let gateway = TestGateway::serving(stocked().api, toy().1, Options::default()).await;
    let token = token("CUST01");
    let mut answers = stream::iter(mutations(&samples, CASES))
        .map(|body| async {
            let body = body;
            let request = gateway.http.post(gateway.url("/graphql")).bearer_auth(&token);
            let request = request.header("content-type", "application/json").body(body.clone());
            let response = request.send().await.unwrap();
            (body, response.status().as_u16(), response.text().await.unwrap())
        })
        .buffer_unordered(CONCURRENT_REQUESTS);
    let (mut executed, mut refused) = (0_u64, 0_u64);
    while let Some((body, status, text)) = answers.next().await {
        let shown = || format!("{}\n{status} {text}", String::from_utf8_lossy(&body));
        assert!(status < 500, "{}", shown());
        let answer: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{}", shown()));
        executed += u64::from(answer.get("data").is_some());
        refused += u64::from(answer.get("data").is_none());
        for error in answer["errors"].as_array().into_iter().flatten() {
            let extensions = &error["extensions"];
            assert!(extensions["code"].is_string() && extensions["traceId"].is_string(), "{}", shown());
            assert_ne!(extensions["code"], "INTERNAL_SERVER_ERROR", "{}", shown());
        }
    }
    println!("{} requests: {executed} executed, {refused} refused", fuzz_cases(CASES));
    assert!(executed > 0 && refused > 0, "{executed} executed, {refused} refused");
}
