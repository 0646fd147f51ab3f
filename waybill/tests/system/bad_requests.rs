//! Requests that are not GraphQL, or exceed its limits.

use reqwest::Method;
use serde_json::json;

use crate::kit::{Gateway, on_both};

on_both!(
    what_is_no_request_is_refused_with_a_code_and_a_status,
    ten_megabytes_are_refused,
    documents_that_ask_for_too_much_are_refused,
    a_socket_that_breaks_the_protocol_is_closed_with_a_code
);

async fn what_is_no_request_is_refused_with_a_code_and_a_status(gateway: Gateway) {
    let customer = gateway.customer("CUST01");
    for (body, status, code) in [
        ("", 400, "BAD_USER_INPUT"),
        ("no json", 400, "BAD_USER_INPUT"),
        ("{\"query\": ", 400, "BAD_USER_INPUT"),
        ("\u{0}", 400, "BAD_USER_INPUT"),
        ("[]", 400, "BAD_USER_INPUT"),
        ("7", 400, "BAD_USER_INPUT"),
        ("{}", 400, "BAD_USER_INPUT"),
        (r#"{"query": 7}"#, 400, "BAD_USER_INPUT"),
        (r#"{"query": "{ me { id } }", "variables": []}"#, 400, "BAD_USER_INPUT"),
        (r#"{"query": "{ me { id }"}"#, 400, "GRAPHQL_PARSE_FAILED"),
        (r#"{"query": "{ nothing }"}"#, 400, "GRAPHQL_VALIDATION_FAILED"),
        (r#"{"query": "{ me { id } }", "operationName": "Other"}"#, 400, "OPERATION_RESOLUTION_FAILURE"),
        (r#"{"query": "subscription { orderUpdated { kind } }"}"#, 400, "BAD_USER_INPUT"),
    ] {
        let reply = customer.posts(body).await;
        assert_eq!((reply.status, reply.code()), (status, Some(code)), "{body:?} {:#}", reply.body);
        assert!(reply.body.get("data").is_none(), "{body:?}");
    }
    let extra = r#"{"query": "{ me { id } }", "colour": "red"}"#;
    assert_eq!(
        customer.posts(extra).await.data()["me"]["id"],
        "CUST01",
        "unknown fields of a request are ignored"
    );
    let broken = customer.posts(&b"{\"query\": \"{ me { id } }\xff\"}"[..]).await;
    assert_eq!((broken.status, broken.code()), (400, Some("BAD_USER_INPUT")), "bytes that are no text");
    let form = gateway
        .request(Method::POST, "/graphql")
        .header("content-type", "application/x-www-form-urlencoded")
        .body("query={me{id}}")
        .send()
        .await
        .unwrap();
    assert_eq!(form.status(), 415);
}

async fn ten_megabytes_are_refused(gateway: Gateway) {
    let customer = gateway.customer("CUST01");
    let padding = "x".repeat(10 << 20);
    let reply = customer.sends("{ me { id } }", json!({ "padding": padding })).await;
    assert_eq!((reply.status, reply.code()), (413, Some("PAYLOAD_TOO_LARGE")), "{:#}", reply.body);
    assert_eq!(customer.asks("{ me { id } }", json!({})).await["id"], "CUST01", "and the gateway serves on");
}

async fn documents_that_ask_for_too_much_are_refused(gateway: Gateway) {
    let customer = gateway.customer("CUST01");
    let deep =
        format!("{{ me {}{{ id }}{} }}", "{ orders { nodes { customer ".repeat(10), "} } }".repeat(10));
    let wide = format!("{{ {} }}", (0..200).map(|n| format!("a{n}: me {{ id }} ")).collect::<String>());
    let costly = "{ orders(first: 100) { nodes { customer { orders(first: 100) { nodes { \
                  customer { orders(first: 100) { nodes { id } } } } } } } } }";
    let nested = format!("{{ me {}", "{ a ".repeat(50_000));
    for query in [deep.as_str(), &wide, costly, &nested] {
        let reply = customer.sends(query, json!({})).await;
        let refused = matches!(reply.code(), Some("QUERY_TOO_COMPLEX"));
        assert!(refused && reply.status == 400, "{} {:#}", reply.status, reply.body);
    }
}

async fn a_socket_that_breaks_the_protocol_is_closed_with_a_code(gateway: Gateway) {
    let subscribe = json!({ "id": "1", "type": "subscribe", "payload": { "query": "subscription { orderUpdated { kind } }" } });
    for (message, code) in
        [(subscribe, 4401), (json!("no message"), 4400), (json!({ "type": "nothing" }), 4400)]
    {
        let mut socket = gateway.socket().await;
        socket.send(message.clone()).await;
        assert_eq!(socket.closed().await.0, code, "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_internal_is_behind_the_public_port() {
    let mut process = crate::kit::OneProcess::new();
    let gateway = process.start().await;
    for path in ["/metrics", "/admin", "/.env", "/../jwt-secret", "/graphql/../metrics"] {
        let reply = gateway.request(Method::GET, path).send().await.unwrap();
        assert_eq!(reply.status(), 404, "{path}");
    }
    let status = testkit::reply(gateway.request(Method::GET, "/readyz")).await.unwrap();
    assert_eq!(status.body["missing"], json!([]));
}
