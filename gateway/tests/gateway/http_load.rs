//! Bounds on what clients send: how often, by customer and by address, and how much at once.

use gateway::http::RateLimitSettings;
use serde_json::{Value, json};

use crate::kit::{Options, TestGateway, answer, code, token};

async fn limited(rate_limits: RateLimitSettings) -> TestGateway {
    TestGateway::with(Options { rate_limits, ..Options::default() }).await
}

fn hello() -> Value {
    json!({ "query": "{ hello }" })
}

#[tokio::test]
async fn a_customer_over_its_rate_is_told_when_to_come_back_and_others_are_served() {
    let per_customer = "3/h".parse().ok();
    let gateway = limited(RateLimitSettings { per_customer, ..RateLimitSettings::default() }).await;
    let (one, other) = (token("CUST01"), token("CUST02"));
    for _ in 0..3 {
        assert_eq!(answer(gateway.post(&hello()).bearer_auth(&one)).await.0, 200);
    }
    for accept in ["application/json", "application/graphql-response+json"] {
        let refused = gateway.post(&hello()).bearer_auth(&one).header("accept", accept).send().await.unwrap();
        assert_eq!(refused.status(), 429);
        let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=1_200).contains(&wait), "{wait}");
        let body: Value = refused.json().await.unwrap();
        assert_eq!(code(&body), "RATE_LIMITED");
        let extensions = &body["errors"][0]["extensions"];
        assert_eq!((&extensions["outcome"], &extensions["retryable"]), (&json!("NONE"), &json!(true)));
        assert!(extensions["retryAfterMs"].as_u64().unwrap() <= wait * 1_000);
    }
    assert_eq!(answer(gateway.post(&hello()).bearer_auth(&other)).await.0, 200);
    assert_eq!(answer(gateway.post(&hello())).await.0, 200, "without a token there is no customer");
}

#[tokio::test]
async fn an_operation_over_the_rate_ends_in_an_error_on_a_socket_that_stays_open() {
    let per_customer = "2/h".parse().ok();
    let gateway = limited(RateLimitSettings { per_customer, ..RateLimitSettings::default() }).await;
    let mut socket = gateway.socket().await;
    socket.init(json!({ "authorization": format!("Bearer {}", token("CUST01")) })).await;
    socket.subscribe("1", "{ hello }").await;
    assert_eq!(socket.next().await["type"], "next");
    assert_eq!(socket.next().await["type"], "complete");
    // Over HTTP it counts towards the same rate.
    assert_eq!(answer(gateway.post(&hello()).bearer_auth(token("CUST01"))).await.0, 200);
    socket.subscribe("2", "subscription { ticks { value } }").await;
    let refused = socket.next().await;
    assert_eq!((&refused["type"], &refused["id"]), (&json!("error"), &json!("2")));
    assert_eq!(refused["payload"][0]["extensions"]["code"], "RATE_LIMITED");
    socket.send(json!({ "type": "ping" })).await;
    assert_eq!(socket.next().await["type"], "pong");
}

#[tokio::test]
async fn addresses_are_told_apart_by_what_trusted_proxies_say_alone() {
    let per_address = "2/h".parse().ok();
    let ask = async |gateway: &TestGateway, forwarded: &str| {
        answer(gateway.post(&hello()).header("x-forwarded-for", forwarded)).await.0
    };
    let untrusting = limited(RateLimitSettings { per_address, ..RateLimitSettings::default() }).await;
    for (forwarded, expected) in [("203.0.113.1", 200), ("203.0.113.2", 200), ("203.0.113.3", 429)] {
        assert_eq!(ask(&untrusting, forwarded).await, expected, "{forwarded}");
    }
    let settings = RateLimitSettings { per_address, trusted_proxies: 1, ..RateLimitSettings::default() };
    let trusting = limited(settings).await;
    for (forwarded, expected) in [
        ("203.0.113.1", 200),
        ("6.6.6.6, 203.0.113.1", 200),
        ("7.7.7.7, 203.0.113.1", 429),
        ("203.0.113.2", 200),
        ("2001:db8::1", 200),
        ("2001:db8::2", 200),
        ("2001:db8::3", 429),
    ] {
        assert_eq!(ask(&trusting, forwarded).await, expected, "{forwarded}");
    }
    // The handshake of a socket counts, and so does each of its operations.
    assert_eq!(untrusting.http.get(untrusting.url("/readyz")).send().await.unwrap().status(), 200);
    let refused = untrusting.try_socket(Some("graphql-transport-ws"), None).await.err().unwrap();
    assert!(refused.to_string().contains("429"), "{refused}");
}

#[tokio::test]
async fn a_gateway_that_is_full_still_answers_probes() {
    let gateway = TestGateway::with_limits(|limits| limits.max_concurrent_requests = 0).await;
    let (status, answer) = gateway.run("{ hello }").await;
    assert_eq!((status, code(&answer)), (503, "OVERLOADED"));
    for path in ["/livez", "/readyz"] {
        assert_eq!(gateway.http.get(gateway.url(path)).send().await.unwrap().status(), 200, "{path}");
    }
}
